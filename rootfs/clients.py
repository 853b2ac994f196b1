"""Programs that nobody here wrote, for the image with ``rootfs=tools``."""

import os
import shutil
from pathlib import Path

from host.tools import ADMIN, missing_tool
from rootfs.closure import closure
from rootfs.initramfs import ImageFile

# By the name of the command.
CLIENTS = ("fio", "nvme", "lspci")
# Names of vendors and devices, where Debian, and where Fedora and Arch have them.
PCI_IDS = (Path("/usr/share/misc/pci.ids"), Path("/usr/share/hwdata/pci.ids"))


def client_files() -> list[ImageFile]:
    """Return all that ``rootfs=tools`` adds to the image: programs, their data, their libraries.

    Raises:
        MissingToolError: a program is not on this machine.
        ImageError: a library is not.
    """
    programs = client_programs()
    return [*programs, *client_data(), *closure(programs)]


def client_programs() -> list[ImageFile]:
    """Return the programs as they go into the image.

    Raises:
        MissingToolError: one is not on this machine.
    """
    return [ImageFile(f"/bin/{name}", _found(name), "755") for name in CLIENTS]


def client_data() -> list[ImageFile]:
    """Return the data that the programs read, where it is there: they can do without."""
    return [ImageFile(str(path), path.resolve(), "644") for path in PCI_IDS if path.is_file()]


def _found(name: str) -> Path:
    places = os.pathsep.join((*os.get_exec_path(), *ADMIN))
    found = shutil.which(name, path=places)
    if not found:
        raise missing_tool(name)
    return Path(found).resolve()
