"""What doit runs in the kernel stage."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path

from host.files import remove
from host.stamps import COMPILING, stamps
from host.terminal import require_terminal
from host.tools import require_programs
from host.unfinished import discard, finished_or_empty
from kernel import build, config, external, own_module
from kernel.choice import announce
from kernel.kbuild import Kbuild
from kernel.selection import Selection
from kernel.source import obtain, read_record
from settings.paths import downloads_dir

BUILD_TOOLS = ("make", "gcc", "flex", "bison", "bc")


def source(selection: Selection) -> None:
    """Download, verify and unpack the kernel's source, and say which one it is."""
    if text := announce(selection.choice):
        print(text, file=sys.stderr)
    record = obtain(selection.choice, selection.workspace, downloads_dir())
    print(f"   Linux {record.version}, from {record.package or record.url or record.tree}")


def configure(selection: Selection) -> None:
    """Make the kernel's configuration."""
    require_programs(*BUILD_TOOLS)
    absent = config.configure(kbuild(selection), selection.fragments, _log(selection, "config"))
    for request in absent:
        print(f"   {request.origin}: left out, this kernel has no symbol {request.symbol}")


def menuconfig(selection: Selection) -> None:
    """Let the user change the configuration; keep the changes as a fragment."""
    require_terminal("doit menuconfig", "without one, give a fragment: config=my.config")
    fragment = selection.workspace.menuconfig
    changed = config.edit(kbuild(selection), fragment)
    if changed:
        fragments = ",".join(map(str, (*selection.settings.config, fragment)))
        words = [f"{name}={value}" for name, value in selection.given.items() if name != "config"]
        print(f"{changed} changed lines are in {fragment}; copy the file to keep it")
        print(f"build with them: {shlex.join(['./doit', *words, f'config={fragments}', 'build'])}")
    else:
        print("nothing was changed")


def kernel(selection: Selection) -> None:
    """Build the kernel."""
    workspace = selection.workspace
    programs = stamps(COMPILING)
    with finished_or_empty(workspace.linux, keep=workspace.dot_config, made_by=programs):
        # Make would take a newer file for the one that it made itself, whoever put it there.
        remove(workspace.bzimage)
        build.build_kernel(kbuild(selection), _log(selection, "kernel"))


def clean(selection: Selection) -> None:
    """Remove what the kernel's build made: all of its directory but the other stage's .config."""
    discard(selection.workspace.linux, keep=selection.workspace.dot_config)


def module(selection: Selection, folder: Path) -> None:
    """Build the module of a folder against this kernel: the lab's, or the user's own."""
    workspace = selection.workspace
    output, log = workspace.module_dir, _log(selection, "module")
    how = kbuild(selection)
    with finished_or_empty(output, made_by=stamps(COMPILING)):
        if workspace.own_module:
            how = replace(how, module=output)
            own_module.build_own_module(how, folder, output, log, workspace.module)
        else:
            external.build_module(how, folder, output, log)


def kbuild(selection: Selection) -> Kbuild:
    """Return how to build the selected kernel."""
    workspace = selection.workspace
    tree = read_record(workspace.source_record).tree
    return Kbuild(tree, workspace.linux, selection.settings.jobs)


def _log(selection: Selection, name: str) -> Path:
    return selection.workspace.logs / f"{name}.log"
