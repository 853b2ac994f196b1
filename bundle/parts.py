"""What an image is made of and by: components, and what depends on what."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cyclonedx.model import ExternalReference, ExternalReferenceType, XsUri
from cyclonedx.model.component import Component, ComponentType
from packageurl import PackageURL

from bundle import licences
from bundle.components import (
    UNKNOWN,
    File,
    Properties,
    Role,
    SbomError,
    component,
    machine_components,
    package_component,
    sha256,
    spdx,
)
from bundle.manifest import KernelInput, LabInput, Output, ToolInput
from bundle.own import module_file
from host.files import sha256_file
from host.packages import Package, Source, distribution, installed, owners, source_package
from rootfs.initramfs import MADE, ImageFile
from rootfs.sources import FOLDER
from settings.paths import (
    BZIMAGE,
    DOT_CONFIG,
    INITRAMFS,
    PROJECT,
    SYSTEM_MAP,
    TOOL_FILE,
    VMLINUX,
)

IMAGE, LAB, SCRIPTS = "p2plab-image", "p2plab", "p2plab-rootfs"
KERNEL_FILES = (BZIMAGE, VMLINUX, SYSTEM_MAP, DOT_CONFIG)


@dataclass(frozen=True)
class Parts:
    """What an image was made of, and by.

    Attributes:
        kernel: its source.
        lab: the project.
        tools: programs and libraries of the machine.
        outputs: all files of the image but this one.
        contents: what the initramfs holds (``rootfs.task.contents``).
        linked: what the tool was linked from (``rootfs.linked.linked_files``).
        own: names of what is a user's own, by kind (``module``, ``tool``).
    """

    kernel: KernelInput
    lab: LabInput
    tools: tuple[ToolInput, ...]
    outputs: tuple[Output, ...]
    contents: tuple[ImageFile, ...]
    linked: tuple[Path, ...]
    own: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Graph:
    """Components by reference, and what each one depends on."""

    components: dict[str, Component] = field(default_factory=dict)
    needs: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, found: Component, *needed_by: str) -> str:
        """Add a component that others depend on; return its reference."""
        ref = str(found.bom_ref)
        self.components[ref] = found
        for dependent in needed_by:
            self.needs.setdefault(dependent, {})[ref] = None
        return ref


def graph_of(parts: Parts) -> Graph:
    """Return the components of an image and of what made it.

    Raises:
        SbomError: a file that every image has is not among the outputs.
        OSError: a file that went into the image is not there any more.
    """
    graph = Graph()
    outputs = {output.name: output for output in parts.outputs}
    module = module_file(outputs) or "module (.ko)"
    for name in (*KERNEL_FILES, module, TOOL_FILE, INITRAMFS):
        if name not in outputs:
            raise SbomError(f"there is no {name} in the image that an SBOM is to be written for")
    content = _content(parts.contents, parts.outputs)
    _add_linux(graph, parts.kernel, [outputs.pop(name) for name in KERNEL_FILES], module)
    graph.add(_initramfs(outputs.pop(INITRAMFS)), IMAGE)
    graph.add(_module(outputs.pop(module), content, parts.own.get("module")), IMAGE, INITRAMFS)
    graph.add(_tool(outputs.pop(TOOL_FILE), content, parts.own.get("tool")), IMAGE, INITRAMFS)
    # All else is the lab's own: what is not named above has no other maker.
    graph.add(_lab(outputs.values()), IMAGE)
    graph.add(_scripts(content.own), INITRAMFS)
    _add_machine(graph, content, parts.linked)
    _add_build_tools(graph, parts.tools, shipped=_sums(graph))
    return graph


@dataclass
class _Content:
    """What the initramfs holds, by who made it.

    Attributes:
        built: where the image's own outputs are in it, by their names.
        own: the lab's scripts, and what it wrote while it packed.
        machine: files that were taken from the machine.
    """

    built: dict[str, Properties] = field(default_factory=dict)
    own: list[File] = field(default_factory=list)
    machine: list[tuple[Path, File]] = field(default_factory=list)


def _content(contents: Iterable[ImageFile], outputs: Iterable[Output]) -> _Content:
    names = {output.sha256: output.name for output in outputs}
    content = _Content()
    for file in contents:
        digest = sha256_file(file.source)
        place = (("guest-path", file.target),)
        if digest in names:
            name = names[digest]
            content.built[name] = (*content.built.get(name, ()), *place)
        elif file.source.parent == FOLDER or file.source.name in MADE:
            content.own.append(File(Path(file.target).name, digest, place))
        else:
            content.machine.append((file.source, File(file.source.name, digest, place)))
    return content


def _add_linux(graph: Graph, kernel: KernelInput, built: Iterable[Output], module: str) -> None:
    files = [
        _output(ComponentType.FILE, output.name, output, kernel.version, licences.KERNEL)
        for output in built
    ]
    refs = [graph.add(file, IMAGE) for file in files]
    graph.add(_linux(kernel), *refs, module)


def _linux(kernel: KernelInput) -> Component:
    found = component(
        ComponentType.OPERATING_SYSTEM,
        "linux",
        ref="linux",
        version=kernel.version,
        digest=kernel.sha256,
        licence=spdx(licences.KERNEL),
        purl=_linux_purl(kernel),
        properties=(
            ("sha256-of", kernel.file or "all files of the tree"),
            *((("asked-for", kernel.asked), ("reason", kernel.reason)) * kernel.substituted),
        ),
    )
    address = {"url": kernel.url, "apt": str(found.purl)}.get(kernel.kind)
    if address:
        source = ExternalReference(
            type=ExternalReferenceType.SOURCE_DISTRIBUTION,
            url=XsUri(address),
            comment=kernel.file,
            hashes=[sha256(kernel.sha256)],
        )
        found.external_references.add(source)
    return found


def _linux_purl(kernel: KernelInput) -> PackageURL:
    if kernel.kind == "apt":
        source = Source("linux", kernel.package_version)
        # A package of source, but a binary package to dpkg, for all architectures.
        return Package(kernel.package, kernel.package_version, "all", distribution(), source).purl
    archive = {"download_url": kernel.url, "checksum": f"sha256:{kernel.sha256}"}
    qualifiers = archive if kernel.kind == "url" else None
    return PackageURL("generic", None, "linux", kernel.version, qualifiers)


def _output(
    kind: ComponentType,
    name: str,
    output: Output,
    version: str = "",
    licence: str = "",
    properties: Properties = (),
) -> Component:
    """Return a component that is one file of the image."""
    return component(
        kind,
        name,
        ref=output.name,
        version=version,
        digest=output.sha256,
        licence=spdx(licence) if licence else (),
        properties=(("file", output.name), *properties),
    )


def _initramfs(output: Output) -> Component:
    # No licence: it is a collection, and each part has its own.
    return _output(ComponentType.FILE, output.name, output)


def _module(output: Output, content: _Content, own: str | None) -> Component:
    name = Path(output.name).stem
    place = content.built.get(output.name, ())
    if own:
        return _output(ComponentType.DEVICE_DRIVER, name, output, properties=_own(own, place))
    version = lab_version()  # its sources tell none of their own
    return _output(ComponentType.DEVICE_DRIVER, name, output, version, licences.LAB, place)


def _tool(output: Output, content: _Content, own: str | None) -> Component:
    place = content.built.get(output.name, ())
    if own:
        # What it was linked from, its own Makefile alone knows.
        told = (*_own(own, place), ("linked-from", "not known"))
        return _output(ComponentType.APPLICATION, own, output, properties=told)
    version = _tool_version()
    return _output(ComponentType.APPLICATION, output.name, output, version, licences.LAB, place)


def _own(name: str, place: Properties) -> Properties:
    """Return what is told of something that is a user's own: nobody here knows its licence."""
    return (*place, ("own-sources", name), *UNKNOWN)


def _lab(outputs: Iterable[Output]) -> Component:
    return component(
        ComponentType.APPLICATION,
        LAB,
        ref=LAB,
        version=lab_version(),
        licence=spdx(licences.LAB),
        files=[File(output.name, output.sha256, (("file", output.name),)) for output in outputs],
    )


def _scripts(files: Iterable[File]) -> Component:
    return component(
        ComponentType.APPLICATION,
        SCRIPTS,
        ref=SCRIPTS,
        version=lab_version(),
        licence=spdx(licences.LAB),
        files=files,
    )


def _add_machine(graph: Graph, content: _Content, linked: Iterable[Path]) -> None:
    """Add what was taken from the machine: into the initramfs as it is, or by the linker."""
    libraries = [(path, File(path.name, sha256_file(path))) for path in linked]
    owner = owners(path for path, _ in (*content.machine, *libraries))
    files = [(file, owner.get(path)) for path, file in (*content.machine, *libraries)]
    found = machine_components(files, Role.SHIPPED)
    for path, file in content.machine:
        ref = graph.add(found[file.key], INITRAMFS)
        # What a static program has in it: its package says so, nobody else knows.
        package = owner.get(path)
        for source in package.built_using if package else ():
            graph.add(package_component(source_package(source), Role.SHIPPED), ref)
    for _, file in libraries:
        graph.add(found[file.key], TOOL_FILE)


def _add_build_tools(graph: Graph, tools: Iterable[ToolInput], shipped: set[str]) -> None:
    # busybox and the libraries are among the machine's tools too, but more than that.
    only = [tool for tool in tools if tool.sha256 not in shipped]
    known = installed(tool.package for tool in only if tool.package)
    files = [
        (File(tool.name, tool.sha256, (("version-line", tool.version),)), known.get(tool.package))
        for tool in only
    ]
    for found in machine_components(files, Role.BUILD_TOOL).values():
        graph.add(found)


def _sums(graph: Graph) -> set[str]:
    return {
        digest.content
        for found in graph.components.values()
        for part in found.get_all_nested_components(include_self=True)
        for digest in part.hashes
    }


def lab_version() -> str:
    """Return the version of the project, which stands for all that has none of its own."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])


def _tool_version() -> str:
    text = (PROJECT / "p2pmem-test/version.h").read_text(encoding="utf-8")
    found = re.search(r'^#define P2PMEM_TEST_VERSION "(.+)"$', text, re.M)
    if not found:
        raise SbomError("p2pmem-test/version.h does not tell the tool's version")
    return found[1]
