"""Licences: of the table, of machine-readable copyright files, and none."""

from pathlib import Path

import pytest

from bundle import licences

DEP5 = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: flex
License: see below

Files: *
Copyright: 1990 Somebody
License: Flex
 Redistribution and use in source and binary forms are permitted.
 .
 License: this line is text, and no field

Files: debian/*
License:   GPL-2+ with Bison exception

License: GPL-2+ with Bison exception
 On Debian systems ...

Files: empty
License:
 MIT, but only as text
"""


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(licences, "DOCS", tmp_path)
    (tmp_path / "flex").mkdir()
    return tmp_path / "flex/copyright"


@pytest.mark.parametrize(
    ("source", "licence"),
    [
        ("busybox", "GPL-2.0-only"),
        ("glibc", "LGPL-2.1-or-later"),
        ("gcc-12", "GPL-3.0-or-later WITH GCC-exception-3.1"),
        ("gcc-15", "GPL-3.0-or-later WITH GCC-exception-3.1"),
        ("gcc-12-cross", ""),
        ("my-busybox", ""),
        ("", ""),
    ],
)
def test_table(source: str, licence: str) -> None:
    assert licences.shipped(source) == licence


def test_machine_readable_file(docs: Path) -> None:
    docs.write_text(DEP5)

    assert licences.told("flex") == ["Flex", "GPL-2+ with Bison exception", "see below"]


def test_file_for_people_only_is_not_guessed_at(docs: Path) -> None:
    docs.write_text("This package was put together by somebody.\n\nLicense: GPL\n")

    assert licences.told("flex") == []


def test_file_with_bytes_of_another_encoding(docs: Path) -> None:
    docs.write_bytes(DEP5.encode().replace(b"Somebody", b"Ren\xe9"))

    assert "Flex" in licences.told("flex")


def test_no_file(docs: Path) -> None:
    assert not docs.exists()
    assert licences.told("flex") == []
