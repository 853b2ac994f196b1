"""What tool and root file system are made of; doit asks at every start, so nothing is imported."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
# The lab's own files in the image: where they go, and their mode (octal text).
SCRIPTS = {
    "init": ("/init", "755"),
    "serve": ("/lib/p2plab/serve", "644"),
    "motd": ("/lib/p2plab/motd", "644"),
    "profile": ("/etc/profile", "644"),
}


def tool_sources(folder: Path) -> list[Path]:
    """Return the files of the tool's folder that its build depends on, sorted."""
    return [folder / "Makefile", *sorted(folder.glob("*.[ch]"))]


def script_sources() -> list[Path]:
    """Return the lab's own files that go into the root file system."""
    return [FOLDER / name for name in SCRIPTS]
