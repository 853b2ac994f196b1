"""From somebody's manifest to what has to be built here: kernel, files and settings.

What is not to be had is said before any work. Files are taken from beside the manifest, where a
bundle keeps them, if they are those that it names; else from this checkout.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from boot.topology import load_topology
from bundle.manifest import FileInput, KernelInput, Manifest, ManifestError
from bundle.names import SCENARIO, TOPOLOGY
from bundle.own import has_clients, own_names
from host.errors import SettingError
from host.files import sha256_file, write_text
from kernel.choice import AUTO, PINNED, REGISTRY, Choice
from kernel.registry import AptKernel, Kernel, RegistryError, TreeKernel, UrlKernel, load
from kernel.selection import BASE_FRAGMENT, Selection
from kernel.version import check_user_tree
from settings.paths import AUTO_KERNEL, CONFIGS, PROJECT
from verify.scenario import load_scenario

# A name that no download has: the kernel that was asked for was not used, and must not be here.
NOT_USED = "asked-for-but-not-used"


@dataclass(frozen=True)
class Described:
    """What a manifest describes, with what this machine has for it.

    Attributes:
        selection: what to build.
        topology: file that is used.
        scenario: file that is used.
        fragments: files that are used, the lab's own first.
        overlay: files of the project that are replaced in its copy, by their relative path.
    """

    selection: Selection
    topology: Path
    scenario: Path
    fragments: tuple[Path, ...]
    overlay: Mapping[Path, Path] = field(default_factory=dict)


def described(manifest: Manifest, place: Path, selection: Selection, scratch: Path) -> Described:
    """Return what to build for the manifest in the folder ``place``; files go to ``scratch``.

    Raises:
        ManifestError: it names something that cannot be used or is nowhere to be had.
        SettingError: it wants a user's kernel tree that was not given.
    """
    kernel = _kernel(manifest.kernel, selection)
    topology = _config("topologies", manifest.topology, place / TOPOLOGY)
    scenario = _config("scenarios", manifest.scenario, place / SCENARIO)
    machine = load_topology(topology, manifest.topology.name)
    load_scenario(scenario, machine, manifest.scenario.name)
    fragments = list(_fragments(manifest.fragments, place, selection, scratch / "fragments"))
    _require_own(manifest, selection)
    used = replace(
        selection.settings,
        rootfs="tools" if has_clients(manifest) else "plain",
        kernel=manifest.kernel.asked,
        config=tuple(fragments[1:]),
        topology=manifest.topology.name,
        scenario=manifest.scenario.name,
        cpu=manifest.cpu if manifest.cpu != machine.cpu else "",
        manifest=None,
    )
    given = {"topology": used.topology, "scenario": used.scenario, "rootfs": used.rootfs}
    if used.cpu:
        given["cpu"] = used.cpu
    choice = Choice(manifest.kernel.asked, kernel, manifest.kernel.reason)
    overlay = {
        Path("configs/topologies", f"{used.topology}.toml"): topology,
        Path("configs/scenarios", f"{used.scenario}.toml"): scenario,
        BASE_FRAGMENT.relative_to(PROJECT): fragments[0],
        **_decided(manifest.kernel, kernel, scratch),
    }
    return Described(
        replace(selection, settings=used, choice=choice, given=given),
        topology,
        scenario,
        tuple(fragments),
        overlay,
    )


def _kernel(described: KernelInput, selection: Selection) -> Kernel:
    own = selection.choice.kernel if "kernel" in selection.given else None
    if described.kind == "path":
        if not isinstance(own, TreeKernel):
            raise SettingError(
                f"the manifest is of somebody's own kernel tree (Linux {described.version}), "
                "which has no address",
                hint="give the same tree: kernel=/path/to/linux",
            )
        check_user_tree(own.tree)
        return own
    if own is not None:
        raise SettingError(
            "kernel= and this manifest do not go together: it says which kernel it is",
            hint="leave out kernel=",
        )
    if described.kind == "apt":
        return AptKernel(described.used, described.package)
    return _of_registry(described)


def _of_registry(described: KernelInput) -> UrlKernel:
    """Return the archive as our own registry has it, with our own addresses.

    A stranger's word must not have this machine contact any host, nor run the Makefiles of an
    archive that nobody here has chosen.
    """
    ours = load(REGISTRY).get(described.used)
    if isinstance(ours, UrlKernel) and ours.sha256 == described.sha256:
        return ours
    other = "has another kernel of this name" if ours else "does not have it"
    raise ManifestError(
        f"its kernel is {described.used} ({described.file}, SHA-256 {described.sha256}), and "
        f"{REGISTRY.name} {other}; nothing was fetched",
        hint=f"if you trust it, describe it in configs/{REGISTRY.name}; the manifest says it is at "
        f"{described.url}",
    )


def _require_own(manifest: Manifest, selection: Selection) -> None:
    """Refuse a manifest of somebody's own module or tool without its sources, and the reverse."""
    theirs = own_names(manifest)
    for kind, ours in (("module", selection.settings.module), ("tool", selection.settings.tool)):
        name = theirs.get(kind)
        if name and not ours:
            raise SettingError(
                f"the manifest is of somebody's own {kind} ({name}), which has no address",
                hint=f"give the same sources: {kind}=/path/to/{name}",
            )
        if ours and not name:
            raise SettingError(
                f"{kind}= and this manifest do not go together: it is of the lab's own {kind}",
                hint=f"leave out {kind}=",
            )


def _config(folder: str, wanted: FileInput, beside: Path) -> Path:
    """Return the file of a topology or scenario, theirs if it is there, or else our own."""
    if _is(beside, wanted):
        return beside
    ours = CONFIGS / folder / f"{wanted.name}.toml"
    if not ours.is_file():
        raise ManifestError(
            f"there is no {wanted.name} in configs/{folder}, and no {beside.name} beside the "
            "manifest that is the one it names",
            hint="take the manifest.json in the image folder of its bundle, where the files are",
        )
    return ours


def _fragments(
    wanted: tuple[FileInput, ...], place: Path, selection: Selection, target: Path
) -> Iterable[Path]:
    """Yield the fragments, copied to where they have their own names again."""
    ours = (BASE_FRAGMENT, *selection.settings.config)
    for number, item in enumerate(wanted):
        candidates = (place / item.name, *ours)
        found = next((path for path in candidates if _is(path, item)), None)
        if found is None and number == 0:
            found = BASE_FRAGMENT  # another one than theirs: an input that differs
        if found is None:
            raise ManifestError(
                f"the Kconfig fragment {item.name} is not beside the manifest",
                hint="take the manifest.json in the image folder of its bundle, or give the "
                f"fragment with config=; its SHA-256 is {item.sha256}",
            )
        # "fragments/1-my.config": the number is its place, the rest its name.
        copy = target / str(number) / Path(item.name).name.removeprefix(f"{number}-")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found, copy)
        yield copy


def _is(path: Path, wanted: FileInput) -> bool:
    return path.is_file() and sha256_file(path) == wanted.sha256


def _decided(asked: KernelInput, kernel: Kernel, scratch: Path) -> dict[Path, Path]:
    """Have the copy know this kernel, and ``kernel=auto`` come to it if that was asked for."""
    if isinstance(kernel, TreeKernel):
        return {}
    ours = load(REGISTRY)
    kernels = {**ours, kernel.name: kernel}
    pinned = kernels.get(PINNED)
    if asked.asked == AUTO and isinstance(pinned, UrlKernel):
        if asked.substituted:
            kernels[PINNED] = replace(pinned, file=NOT_USED)
        memory = {
            "pinned": pinned.sha256,
            "package": asked.package,
            "reason": asked.reason,
            "detail": "as the manifest says",
        }
        write_text(scratch / AUTO_KERNEL.name, json.dumps(memory))
    registry = scratch / REGISTRY.name
    write_text(registry, "\n".join(_table(name, item) for name, item in kernels.items()))
    try:
        load(registry)
    except RegistryError as error:
        raise ManifestError(f"its kernel cannot be built: {error.message}") from error
    files = {REGISTRY.relative_to(PROJECT): registry}
    if asked.asked == AUTO:
        files[AUTO_KERNEL.relative_to(PROJECT)] = scratch / AUTO_KERNEL.name
    elif asked.asked != kernel.name:
        raise ManifestError(f"it asks for kernel {asked.asked!r} and uses {kernel.name!r}")
    return files


def _table(name: str, kernel: Kernel) -> str:
    """Return a kernel in the language of ``configs/kernels.toml``."""
    if isinstance(kernel, UrlKernel):
        fields = {"url": list(kernel.urls), "sha256": kernel.sha256, "file": kernel.file}
    elif isinstance(kernel, AptKernel):
        fields = {"apt": kernel.package}
    else:
        fields = {"path": str(kernel.tree)}
    # JSON's strings and lists are TOML's too.
    lines = [f"{key} = {json.dumps(value)}" for key, value in fields.items()]
    return "\n".join([f"[{json.dumps(name)}]", *lines, ""])
