"""The kernels of ``configs/kernels.toml``: where each one's source comes from."""

import hashlib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host.errors import LabError, SettingError
from kernel.version import require_supported
from settings.parse import unknown
from settings.paths import expanded

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
SHA256 = re.compile(r"[0-9a-f]{64}")
ADDRESS = re.compile(r"https?://[^/\s]+/\S+")
PACKAGE = re.compile(r"linux-source-(\d+)\.(\d+)(?:\.\d+)?")
SERIES = re.compile(r"\d+\.\d+")
TREE_PREFIX = "tree-"


@dataclass(frozen=True)
class UrlKernel:
    """A tarball with a known sum.

    Attributes:
        name: as in ``kernel=NAME``; also the folder under ``build/``.
        urls: where to fetch it, in this order.
        sha256: 64 lower-case hexadecimal digits.
        file: its name in the download directory.
    """

    name: str
    urls: tuple[str, ...]
    sha256: str
    file: str


@dataclass(frozen=True)
class AptKernel:
    """A source package ``linux-source-X.Y`` of the distribution."""

    name: str
    package: str


@dataclass(frozen=True)
class TreeKernel:
    """A user's own kernel tree; the lab never writes to it."""

    name: str
    tree: Path


Kernel = UrlKernel | AptKernel | TreeKernel


class RegistryError(LabError):
    """``kernels.toml`` has something that cannot be used."""


def load(path: Path) -> dict[str, Kernel]:
    """Return the kernels of a TOML file by name.

    Raises:
        RegistryError: the file cannot be read or has a mistake; the message has table and key.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RegistryError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RegistryError(f"{path}: not valid TOML: {error}") from error
    return {name: _kernel(f'{path}: ["{name}"]', name, table) for name, table in tables.items()}


def find(name: str, kernels: Mapping[str, Kernel]) -> Kernel:
    """Return the kernel that ``kernel=name`` stands for.

    It is one of these, a tree if it is a path, or else for ``X.Y`` the package linux-source-X.Y,
    which may be in another suite than the machine's own; whether it is shows when it is fetched.

    Raises:
        SettingError: no such kernel; the message has the nearest name and all names.
        TreeError: X.Y is older than 6.2.
    """
    if "/" in name:
        return tree_kernel(Path(name))
    if name not in kernels and SERIES.fullmatch(name):
        return source_package(name)
    if name not in kernels:
        raise unknown("kernel", name, ["auto", *kernels])
    return kernels[name]


def tree_kernel(tree: Path) -> TreeKernel:
    """Return a kernel for a path; its name tells trees of the same base name apart."""
    path = tree.absolute()
    base = re.sub(r"[^A-Za-z0-9._+-]", "_", path.name) or "root"
    digest = hashlib.sha256(str(path).encode(errors="surrogateescape")).hexdigest()
    return TreeKernel(f"{TREE_PREFIX}{base}-{digest[:6]}", path)


def source_package(series: str) -> AptKernel:
    """Return the kernel of the package linux-source-X.Y for a series ``X.Y``.

    Raises:
        TreeError: older than 6.2.
    """
    package = f"linux-source-{series}"
    require_supported(package_version(package) or (0, 0), f"kernel={series}")
    return AptKernel(series, package)


def package_version(package: str) -> tuple[int, int] | None:
    """Return (X, Y) of ``linux-source-X.Y``; None if it is another kind of package."""
    match = PACKAGE.fullmatch(package)
    return (int(match[1]), int(match[2])) if match else None


def _kernel(where: str, name: str, table: object) -> Kernel:
    if not isinstance(table, dict):
        raise RegistryError(f'{where}: not a table; kernels look like ["6.3.2"], with the quotes')
    if not NAME.fullmatch(name) or name == "auto" or name.startswith(TREE_PREFIX):
        raise RegistryError(
            f"{where}: this name cannot be used",
            hint=f"letters, digits and . _ + -, but neither auto nor {TREE_PREFIX}...",
        )
    kinds = [kind for kind in BUILDERS if kind in table]
    if len(kinds) != 1:
        raise RegistryError(
            f"{where}: has {' and '.join(kinds) or 'neither url nor apt nor path'}",
            hint="give exactly one: url with sha256, apt, or path",
        )
    keys, build = BUILDERS[kinds[0]]
    _refuse_other_keys(where, table, keys)
    return build(where, name, table)


def _refuse_other_keys(where: str, table: Mapping[str, Any], known: frozenset[str]) -> None:
    for key in table:
        if key not in known:
            error = unknown("key", key, known)
            raise RegistryError(f"{where}: {error.message}", hint=error.hint)


def _text(where: str, table: Mapping[str, Any], key: str, form: re.Pattern[str], what: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not form.fullmatch(value):
        given = "is missing" if value is None else f"is {value!r}"
        raise RegistryError(f"{where}: {key} {given}; it must be {what}")
    return value


def _url_kernel(where: str, name: str, table: Mapping[str, Any]) -> UrlKernel:
    given = table["url"]
    urls = tuple(given) if isinstance(given, list) else (given,)
    if not urls:
        raise RegistryError(f"{where}: url is an empty list")
    for url in urls:
        if not isinstance(url, str) or not ADDRESS.fullmatch(url):
            raise RegistryError(f"{where}: url has {url!r}; it must be http://... or https://...")
    lowered = {**table, "sha256": str(table.get("sha256", "")).lower() or None}
    sha256 = _text(where, lowered, "sha256", SHA256, "64 hexadecimal digits")
    named = {"file": urls[0].rpartition("/")[2].partition("?")[0], **table}
    file = _text(where, named, "file", NAME, "a plain file name")
    return UrlKernel(name, urls, sha256, file)


def _apt_kernel(where: str, name: str, table: Mapping[str, Any]) -> AptKernel:
    package = _text(where, table, "apt", PACKAGE, "a package linux-source-X.Y")
    require_supported(package_version(package) or (0, 0), f"{where}: {package}")
    return AptKernel(name, package)


def _path_kernel(where: str, name: str, table: Mapping[str, Any]) -> TreeKernel:
    path = _text(where, table, "path", re.compile(r"[/~].*"), "absolute or begin with ~")
    try:
        return TreeKernel(name, expanded(path))
    except SettingError as error:
        raise RegistryError(f"{where}: path {error.message}", hint=error.hint) from error


# The key that says the kind: all keys of that kind, and how they become a kernel.
BUILDERS: dict[str, tuple[frozenset[str], Callable[[str, str, Mapping[str, Any]], Kernel]]] = {
    "url": (frozenset({"url", "sha256", "file"}), _url_kernel),
    "apt": (frozenset({"apt"}), _apt_kernel),
    "path": (frozenset({"path"}), _path_kernel),
}
