"""Components of an SBOM as CycloneDX has them: files, packages, and what they are there for."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import License
from packageurl import PackageURL

from bundle import licences
from host.errors import LabError
from host.packages import Package

NAMESPACE = "p2plab"  # of our own properties
LIBRARIES = (".a", ".o")

Properties = tuple[tuple[str, str], ...]
UNKNOWN: Properties = (("licence", "not known"),)


class SbomError(LabError):
    """A text is no valid SBOM, or an image is not one that it could be written for."""


class Role(StrEnum):
    """Why a component is listed."""

    SHIPPED = "shipped"
    BUILD_TOOL = "build-tool"


SCOPES = {Role.SHIPPED: ComponentScope.REQUIRED, Role.BUILD_TOOL: ComponentScope.EXCLUDED}


@dataclass(frozen=True)
class File:
    """A file: its name without a path, its SHA-256, and what else is to be told of it."""

    name: str
    sha256: str
    properties: Properties = ()

    @property
    def key(self) -> str:
        """A text that no file of another name or sum has."""
        return f"{self.name}:{self.sha256[:16]}"


def component(
    kind: ComponentType,
    name: str,
    *,
    ref: str,
    role: Role = Role.SHIPPED,
    version: str = "",
    digest: str = "",
    licence: Iterable[License] = (),
    purl: PackageURL | None = None,
    properties: Properties = (),
    files: Iterable[File] = (),
) -> Component:
    """Return a component; ``files`` are nested in it. ``ref`` has to be unique in the SBOM."""
    return Component(
        type=kind,
        name=name,
        bom_ref=ref,
        scope=SCOPES[role],
        version=version or None,
        hashes=[sha256(digest)] if digest else [],
        licenses=licence,
        purl=purl,
        properties=[
            Property(name=f"{NAMESPACE}:{key}", value=value)
            for key, value in (("role", role.value), *properties)
        ],
        components=[file_component(file, role, f"{ref}/{file.key}") for file in _merged(files)],
    )


def file_component(file: File, role: Role, ref: str) -> Component:
    """Return a file as a component."""
    return component(
        ComponentType.FILE,
        file.name,
        ref=ref,
        role=role,
        digest=file.sha256,
        properties=file.properties,
    )


def package_component(package: Package, role: Role, files: Iterable[File] = ()) -> Component:
    """Return a package, with those of its files that matter."""
    files = list(files)
    library = all(file.name.endswith(LIBRARIES) for file in files)
    licence = _licences(package, role)
    source = package.source
    return component(
        ComponentType.LIBRARY if library else ComponentType.APPLICATION,
        package.name,
        ref=f"{role}:{package.purl}",
        role=role,
        version=package.version,
        licence=licence,
        purl=package.purl,
        properties=(
            ("source-package", source.name),
            ("source-version", source.version),
            *(() if licence else UNKNOWN),
        ),
        files=files,
    )


def machine_components(
    files: Iterable[tuple[File, Package | None]], role: Role
) -> dict[str, Component]:
    """Return the components that files of the machine belong to, by the files' keys.

    That is the package that a file came with, one component for all its files; a file without a
    package is a component of its own.
    """
    nobodys: list[File] = []
    owned: dict[Package, list[File]] = {}
    for file, package in files:
        (owned.setdefault(package, []) if package else nobodys).append(file)
    found = {file.key: _unowned(file, role) for file in _merged(nobodys)}
    for package, own in owned.items():
        found.update(dict.fromkeys((f.key for f in own), package_component(package, role, own)))
    return found


def _merged(files: Iterable[File]) -> list[File]:
    """Return the same files, those of the same name and sum as one with the properties of all."""
    merged: dict[str, File] = {}
    for file in files:
        told = merged[file.key].properties if file.key in merged else ()
        both = tuple(dict.fromkeys((*told, *file.properties)))
        merged[file.key] = replace(file, properties=both)
    return list(merged.values())


def _unowned(file: File, role: Role) -> Component:
    told = replace(file, properties=(*file.properties, *UNKNOWN))
    return file_component(told, role, f"{role}:{file.key}")


def _licences(package: Package, role: Role) -> list[License]:
    known = licences.shipped(package.source.name) if role is Role.SHIPPED else ""
    if known:
        return spdx(known)
    # Debian's own names, which are only nearly those of SPDX, and are not to be taken for them.
    return [LicenseFactory().make_with_name(name) for name in licences.told(package.name)]


def spdx(expression: str) -> list[License]:
    """Return a licence of SPDX's list, or an expression of several."""
    return [LicenseFactory().make_from_string(expression)]


def sha256(digest: str) -> HashType:
    """Return a SHA-256 as the standard has it."""
    return HashType(alg=HashAlgorithm.SHA_256, content=digest)
