"""tinyconfig + fragments -> ``.config``, with proof that every line of every fragment stuck."""

import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from host.errors import LabError
from host.files import remove, replacing, write_text
from host.process import output_of
from kernel import kconfig
from kernel.fragments import OFF, Request, Unstuck, merged, read_config, read_fragment, unstuck
from kernel.kbuild import Kbuild


class ConfigError(LabError):
    """Lines of a fragment are not in the final configuration."""


def configure(kbuild: Kbuild, fragments: Sequence[Path], log: Path) -> list[Request]:
    """Make the build directory's ``.config`` from tinyconfig and the fragments, later ones winning.

    The work is done in a directory of its own; ``.config`` is replaced only by one that passed,
    and only if it changed, so that an incremental kernel build stays incremental.

    Returns the optional lines that were left out, since this kernel has no such symbol.

    Raises:
        FragmentError: a fragment has a line that is no Kconfig.
        ConfigError: a line did not stick; names it and what the symbol depends on.
    """
    requests = [request for path in fragments for request in read_fragment(path)]
    trial = _trial(kbuild, "config")
    dot_config = trial.output / ".config"
    trial.run(["tinyconfig"], title="tinyconfig", log=log)
    write_text(dot_config, merged(dot_config.read_text(encoding="utf-8"), requests))
    trial.run(["olddefconfig"], title="olddefconfig", log=log.with_suffix(".olddefconfig.log"))
    absent = _require_stuck(requests, dot_config, kbuild.source)
    _install(dot_config, kbuild.output / ".config")
    remove(trial.output)
    return absent


def edit(kbuild: Kbuild, fragment: Path) -> int:
    """Run ``menuconfig`` on a copy of the configuration; keep what changed as a fragment.

    Returns the number of changed lines; ``fragment`` is written only if there are any.

    Raises:
        ConfigError: menuconfig failed.
        ProgramFailed: the kernel's own ``scripts/diffconfig`` failed.
    """
    trial = _trial(kbuild, "menuconfig")
    before, after = kbuild.output / ".config", trial.output / ".config"
    shutil.copyfile(before, after)
    if subprocess.run(trial.argv("menuconfig"), check=False).returncode != 0:
        raise ConfigError(
            "menuconfig ended with an error; its message is above",
            hint="it needs a terminal and the ncurses headers (Debian: libncurses-dev)",
        )
    diffconfig = kbuild.source / "scripts/diffconfig"
    difference = output_of([sys.executable, str(diffconfig), "-m", str(before), str(after)])
    remove(trial.output)
    if difference:
        write_text(fragment, difference)
    return len(difference.splitlines())


def _trial(kbuild: Kbuild, purpose: str) -> Kbuild:
    """Return the same kernel with an empty build directory ``<output>.<purpose>``."""
    scratch = kbuild.output.with_name(f"{kbuild.output.name}.{purpose}")
    remove(scratch)
    scratch.mkdir(parents=True)
    return replace(kbuild, output=scratch)


def _require_stuck(requests: Iterable[Request], dot_config: Path, tree: Path) -> list[Request]:
    """Return the optional requests for symbols that the tree does not have."""
    config = read_config(dot_config)
    lost = unstuck(requests, config)
    absent = [
        item.request
        for item in lost
        if item.request.optional and not kconfig.is_defined(tree, item.request.symbol)
    ]
    if lost := [item for item in lost if item.request not in absent]:
        raise ConfigError(
            "\n".join(_explain(tree, item, config) for item in lost),
            hint="set what it depends on as well, or drop the line from the fragment; "
            f"the configuration that came out is {dot_config}",
        )
    return absent


def _install(new: Path, current: Path) -> None:
    if current.exists() and current.read_bytes() == new.read_bytes():
        return
    with replacing(current) as temporary:
        shutil.copyfile(new, temporary)


def _explain(tree: Path, item: Unstuck, config: dict[str, str]) -> str:
    request = item.request
    head = (
        f"{request.origin}: CONFIG_{request.symbol}={request.value} did not stick: "
        f"the final configuration has {item.actual!r}"
    )
    if not kconfig.is_defined(tree, request.symbol):
        return f"{head}; this kernel has no symbol {request.symbol}"
    if request.value == OFF:
        forcing = [name for name in kconfig.selectors(tree, request.symbol) if name in config]
        if forcing:
            return f"{head}; it is selected by {', '.join(forcing)}"
        return f"{head}; no symbol selects it, so it has a default that cannot be changed"
    expressions = kconfig.dependencies(tree, request.symbol)
    if not expressions:
        return f"{head}; it depends on nothing, so another symbol selects or implies its value"
    names = sorted({name for text in expressions for name in kconfig.symbols_in(text)})
    values = ", ".join(f"{name}={config.get(name, OFF)}" for name in names)
    whole = " && ".join(f"({text})" if "||" in text else text for text in expressions)
    return f"{head}; it depends on {whole} ({values})"
