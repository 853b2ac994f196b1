"""Which kernel a setting ``kernel=`` means, and what ``auto`` came to.

doit loads this at every start: what ``auto`` was decided to be is remembered, and the modules
that ask the network or apt are imported only to decide.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from host.errors import LabError
from host.files import write_text
from kernel.registry import AptKernel, Kernel, TreeKernel, UrlKernel, find, load
from settings.paths import AUTO_KERNEL, CONFIGS, downloads_dir

AUTO = "auto"
PINNED = "6.3.2"
REGISTRY = CONFIGS / "kernels.toml"


@dataclass(frozen=True)
class Choice:
    """What was asked for and what is used.

    Attributes:
        asked: the setting's value.
        kernel: where the source comes from.
        reason: why something else than asked for is used; empty if nothing was substituted.
        detail: what this machine met on the way to that reason; another one may meet another.
    """

    asked: str
    kernel: Kernel
    reason: str = ""
    detail: str = ""

    @property
    def label(self) -> str:
        """The folder under ``build/``: the kernel's name, or ``tree-<base name>-<6 hex>``."""
        return self.kernel.name

    @property
    def used(self) -> str:
        """The kernel for people: its name, or the path of a tree."""
        return str(self.kernel.tree) if isinstance(self.kernel, TreeKernel) else self.kernel.name


class NoKernelError(LabError):
    """``kernel=auto`` found no source at all."""


def choose(
    asked: str, *, decide: bool = True, registry: Path = REGISTRY, memory: Path = AUTO_KERNEL
) -> Choice:
    """Return the kernel to use.

    Args:
        asked: ``auto``, a name of the registry, or a path.
        decide: False for commands that only show something: ``auto`` is then what was decided
            before, or else the pinned kernel; neither network nor apt is asked.
        registry: ``configs/kernels.toml``.
        memory: where the decision for ``auto`` is kept.

    Raises:
        SettingError: no such kernel.
        RegistryError: a mistake in the registry.
        NoKernelError: ``auto``, and neither a tarball nor a package can be had.
    """
    kernels = load(registry)
    if asked != AUTO:
        return Choice(asked, find(asked, kernels))
    pinned = kernels.get(PINNED)
    if not isinstance(pinned, UrlKernel):
        raise LabError(f'{registry}: kernel=auto wants a table ["{PINNED}"] with url and sha256')
    remembered = _recall(memory, kernels, pinned)
    if (downloads_dir() / pinned.file).is_file():
        choice = Choice(AUTO, pinned)
    elif remembered is not None:
        return remembered
    else:
        choice = _decide(kernels, pinned) if decide else Choice(AUTO, pinned)
    if decide and choice != remembered:
        _remember(memory, choice, pinned)
    return choice


def forget(memory: Path = AUTO_KERNEL) -> None:
    """Drop the decision for ``auto``, so that the next start decides anew."""
    memory.unlink(missing_ok=True)


def announce(choice: Choice) -> str:
    """Return what to tell the user about a substitution; empty if there was none."""
    if not choice.reason:
        return ""
    package = f" ({choice.kernel.package})" if isinstance(choice.kernel, AptKernel) else ""
    return (
        f"kernel: {choice.used}{package} instead of {PINNED}, because {choice.reason}"
        f" ({choice.detail})\n"
        f"        kernel={PINNED} insists; to have auto decide again, remove {AUTO_KERNEL}"
    )


def _decide(kernels: dict[str, Kernel], pinned: UrlKernel) -> Choice:
    # Imported here: requests alone takes longer than all else that doit does at its start.
    from kernel import apt, download

    downloads = downloads_dir()
    no_tarball = download.unreachable(pinned.urls)
    if not no_tarball:
        return Choice(AUTO, pinned)
    package, no_package = apt.newest_usable(downloads)
    if not package:
        raise NoKernelError(
            "kernel=auto finds no kernel source:\n"
            f"  {pinned.file} is not in {downloads}\n"
            f"  {no_tarball}\n"
            f"  {no_package}",
            hint=f"put {pinned.file} into {downloads}, or give your tree: kernel=/path/to/linux",
        )
    reason = f"{pinned.file} is neither downloaded nor reachable"
    return Choice(AUTO, _apt_kernel(package, kernels), reason, no_tarball)


def _apt_kernel(package: str, kernels: dict[str, Kernel]) -> AptKernel:
    """Return the registry's kernel of this package, or a new one named after its version."""
    for kernel in kernels.values():
        if isinstance(kernel, AptKernel) and kernel.package == package:
            return kernel
    name = package.removeprefix("linux-source-")
    return AptKernel(package if name in kernels else name, package)


def _remember(memory: Path, choice: Choice, pinned: UrlKernel) -> None:
    kernel = choice.kernel
    record = {
        "pinned": pinned.sha256,
        "package": kernel.package if isinstance(kernel, AptKernel) else "",
        "reason": choice.reason,
        "detail": choice.detail,
    }
    write_text(memory, json.dumps(record, indent=2) + "\n")


def _recall(memory: Path, kernels: dict[str, Kernel], pinned: UrlKernel) -> Choice | None:
    """Return the decision that was made before, unless it is about another pin or unreadable."""
    try:
        record = json.loads(memory.read_text(encoding="utf-8"))
        pin, package = record["pinned"], record["package"]
        why = record["reason"], record["detail"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if pin != pinned.sha256 or not all(isinstance(text, str) for text in (package, *why)):
        return None
    return Choice(AUTO, _apt_kernel(package, kernels), *why) if package else Choice(AUTO, pinned)
