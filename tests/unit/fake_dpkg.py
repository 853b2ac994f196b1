"""A machine's package database: a small one of our own, asked through dpkg-query or a stand-in.

The stand-in knows as much of dpkg-query as the lab uses, so that the tests also run where there
is no dpkg. Where there is one, the same tests are passed by the real program.
"""

import os
import platform
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

OS_RELEASE = {"ID": "debian", "VERSION_ID": "12", "NAME": "Debian GNU/Linux"}
PROGRAM = Path(__file__).with_name("fake_dpkg_query.py")
KINDS = ("stand-in", "dpkg-query") if shutil.which("dpkg-query") else ("stand-in",)


@dataclass
class Database:
    """dpkg's own files, in a folder of the test."""

    folder: Path
    stanzas: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, version: str, *files: Path | str, **fields: str) -> None:
        """Install a package that ships these files."""
        given = {
            "Package": name,
            "Status": "install ok installed",
            "Maintainer": "nobody",
            "Architecture": "amd64",
            "Version": version,
            "Description": "of a test",
            **{key.replace("_", "-"): value for key, value in fields.items()},
        }
        same = given.get("Multi-Arch") == "same"
        qualified = f"{name}:{given['Architecture']}" if same else name
        self.stanzas[qualified] = "".join(f"{key}: {value}\n" for key, value in given.items())
        (self.folder / "status").write_text("\n".join(self.stanzas.values()))
        listed = ["/.", *map(str, files)]
        (self.folder / f"info/{qualified}.list").write_text("".join(f"{at}\n" for at in listed))

    def divert(self, path: str, to: str, by: str) -> None:
        """Move a file of all packages but one; ``:`` stands for a person."""
        with (self.folder / "diversions").open("a") as stream:
            stream.write(f"{path}\n{to}\n{by}\n")


def database(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str = "stand-in") -> Database:
    """Make an empty database, and the machine ask it by the given kind of dpkg-query."""
    admin = folder / "dpkg"
    (admin / "info").mkdir(parents=True)
    (admin / "updates").mkdir()
    (admin / "info/format").write_text("1\n")
    (admin / "arch").write_text("amd64\ni386\n")
    (admin / "status").write_text("")
    monkeypatch.setenv("DPKG_ADMINDIR", str(admin))
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: dict(OS_RELEASE))
    if kind == "stand-in":
        programs = folder / "programs"
        programs.mkdir()
        (programs / "dpkg-query").write_text(
            f'#!/bin/sh\nexec {sys.executable} -IS {PROGRAM} "$@"\n'
        )
        (programs / "dpkg-query").chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return Database(admin)
