"""Build a module of the user's own, of which nothing is known but its folder."""

from pathlib import Path

from host.errors import LabError
from host.files import remove, replacing
from host.sources import mirror, sources_below
from host.unfinished import empty
from kernel.kbuild import Kbuild


def build_own_module(kbuild: Kbuild, folder: Path, output: Path, log: Path, link: Path) -> None:
    """Build a user's own module, whatever its folder looks like, and have ``link`` lead to it.

    All of the folder is copied anew each time: nobody knows what of it the build reads, and what an
    earlier one left must not be taken for this one's.

    Raises:
        ProgramFailed: it does not compile; the message has the compiler's words.
        LabError: it makes no module, or several.
    """
    remove(link)
    empty(output)
    mirror(sources_below(folder), folder, output)
    kbuild.run([f"M={output}", "modules"], title=f"building {folder.name}", log=log)
    made = sorted(output.rglob("*.ko"))
    names = [str(path.relative_to(output)) for path in made]
    if not made:
        raise LabError(
            f"the build of {folder} made no kernel module (.ko)",
            hint=f"its Kbuild or Makefile needs a line like `obj-m := {folder.name}.o`; the log is "
            f"{log}",
        )
    if len(made) > 1:
        raise LabError(
            f"the build of {folder} made {len(made)} kernel modules: {', '.join(names)}",
            hint="the lab loads one; leave one in obj-m",
        )
    with replacing(link) as temporary:
        temporary.symlink_to(made[0].relative_to(link.parent))
