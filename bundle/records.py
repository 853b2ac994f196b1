"""What the stages wrote down about a run, read back from files that may be damaged.

A run can be killed at any moment, and a summary is wanted above all when something went wrong:
every reader takes what it needs, checks its type, and raises one error that names the file.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from host.errors import LabError

TEST_STEPS = ("lint", "format", "types", "unit", "kernel", "debug")  # of `doit test`
LARGEST = 1e15  # no number here, of seconds or bytes, comes near


class Damaged(LabError):
    """A file that a stage wrote is not whole, or not of its form."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(why)
        self.path = path


class Fields:
    """A JSON object of a file, whose members are checked when they are asked for."""

    def __init__(self, path: Path, data: object, name: str = "all of it") -> None:
        if not isinstance(data, dict):
            raise Damaged(path, f"{name} is missing or no object")
        self.path = path
        self._data: dict[str, Any] = data

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text; with a default the member may be absent."""
        value = self._data.get(name, default)
        if not isinstance(value, str):
            raise Damaged(self.path, f"{name} is missing or no text")
        return value

    def number(self, name: str) -> float:
        """Return a number."""
        value = self._data.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Damaged(self.path, f"{name} is missing or no number")
        if not abs(value) < LARGEST:  # JSON of Python knows NaN and Infinity
            raise Damaged(self.path, f"{name} is no number that can be")
        return value

    def within(self, name: str) -> "Fields":
        """Return an object inside this one."""
        return Fields(self.path, self._data.get(name), name)

    def flag(self, name: str) -> bool:
        """Return a truth."""
        value = self._data.get(name)
        if not isinstance(value, bool):
            raise Damaged(self.path, f"{name} is missing or neither true nor false")
        return value

    def names(self) -> list[str]:
        """Return the names of all members."""
        return list(self._data)

    def each(self, name: str) -> "list[Fields]":
        """Return a list of objects."""
        value = self._data.get(name)
        if not isinstance(value, list):
            raise Damaged(self.path, f"{name} is missing or no list")
        return [Fields(self.path, item, f"{name}[{at}]") for at, item in enumerate(value)]

    def texts(self, name: str) -> list[str]:
        """Return a list of texts."""
        value = self._data.get(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise Damaged(self.path, f"{name} is missing or no list of texts")
        return value

    def has(self, name: str) -> bool:
        """Tell whether a member is there and not null."""
        return self._data.get(name) is not None


def read_json(path: Path) -> Fields:
    """Read a JSON object.

    Raises:
        Damaged: it cannot be read, or is something else.
    """
    try:
        return Fields(path, json.loads(path.read_bytes()))
    except OSError as error:
        raise Damaged(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise Damaged(path, f"not JSON: {error}") from error


@dataclass(frozen=True)
class Kernel:
    """The kernel of a build: asked for, used, and why another one if it is."""

    asked: str
    used: str
    version: str
    package: str
    reason: str

    @classmethod
    def of(cls, data: Fields) -> "Kernel":
        """Read it from a ``source.json``, a verdict or a manifest."""
        package = " ".join((data.text("package", ""), data.text("package_version", ""))).strip()
        detail = data.text("detail", "")
        reason = data.text("reason", "")
        return cls(
            asked=data.text("asked"),
            used=data.text("used"),
            version=data.text("version"),
            package=package,
            reason=f"{reason} ({detail})" if reason and detail else reason,
        )


@dataclass(frozen=True)
class Check:
    """One check of a verification."""

    title: str
    status: str
    detail: str


@dataclass(frozen=True)
class Verdict:
    """What ``verdict.json`` says."""

    kernel: Kernel
    topology: str
    scenario: str
    accel: str
    cpu: str
    outcome: str
    meaning: str
    cause: str
    started: str
    seconds: float
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether it is a pass in every respect."""
        return self.outcome == "passed" and bool(self.checks) and not self.missed

    @property
    def missed(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if check.status != "passed")


def read_verdict(path: Path) -> Verdict:
    """Read a ``verdict.json``.

    Raises:
        Damaged: it is not whole.
    """
    data = read_json(path)
    checks = [
        Check(item.text("title"), item.text("status"), item.text("detail"))
        for item in data.each("checks")
    ]
    return Verdict(
        kernel=Kernel.of(data.within("kernel")),
        topology=data.text("topology"),
        scenario=data.text("scenario"),
        accel=data.text("accel"),
        cpu=data.text("cpu"),
        outcome=data.text("outcome"),
        meaning=data.text("meaning"),
        cause=data.text("cause"),
        started=data.text("started"),
        seconds=data.number("seconds"),
        checks=tuple(checks),
    )


@dataclass(frozen=True)
class Step:
    """One step of ``doit test``, as ``tests/task.py`` writes it down.

    Attributes:
        started: when.
        seconds: wall time.
        exit_code: of the test program; None if it was never seen to end.
    """

    started: str
    seconds: float
    exit_code: int | None

    @property
    def result(self) -> str:
        """How it ended, in words."""
        if self.exit_code is None:
            return "not finished"
        return "failed" if self.exit_code else "passed"


def read_step(path: Path) -> Step:
    """Read the record of a test step.

    Raises:
        Damaged: it is not whole.
    """
    data = read_json(path)
    code = int(data.number("exit_code")) if data.has("exit_code") else None
    return Step(data.text("started"), data.number("seconds"), code)


@dataclass(frozen=True)
class Report:
    """What a JUnit file says: how many tests, and the names of those that did not pass."""

    count: int
    skipped: int
    failed: tuple[Check, ...]


def read_junit(path: Path) -> Report:
    """Read a JUnit file.

    Raises:
        Damaged: it is not whole.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise Damaged(path, f"cannot be read: {error.strerror}") from error
    except ElementTree.ParseError as error:
        raise Damaged(path, f"not XML: {error}") from error
    if root.tag not in ("testsuite", "testsuites"):
        raise Damaged(path, f"<{root.tag}> is no JUnit report")
    cases = list(root.iter("testcase"))
    skipped = sum(case.find("skipped") is not None for case in cases)
    return Report(len(cases), skipped, tuple(_failed(cases)))


def _failed(cases: list[ElementTree.Element]) -> Iterator[Check]:
    for case in cases:
        for status in ("failure", "error"):
            found = case.find(status)
            if found is not None:
                title = ".".join(filter(None, (case.get("classname"), case.get("name"))))
                yield Check(title, status, found.get("message", ""))
                break


@dataclass(frozen=True)
class Variation:
    """What differed between the two builds of ``doit reproduce``, or could not."""

    name: str
    values: tuple[str, str]
    applied: bool
    reason: str


@dataclass(frozen=True)
class Reproduction:
    """What ``doit reproduce`` found.

    Attributes:
        same: whether both builds gave the same bytes.
        differences: file and place in it, the first cause first.
        variations: all that were tried.
        seconds: of each build.
        sums: SHA-256 of each file, by its name, of each build.
    """

    same: bool
    differences: tuple[tuple[str, str], ...]
    variations: tuple[Variation, ...]
    seconds: tuple[float, float]
    sums: tuple[dict[str, str], dict[str, str]]


def read_reproduction(path: Path) -> Reproduction:
    """Read the ``result.json`` of a double build.

    Raises:
        Damaged: it is not whole.
    """
    data = read_json(path)
    variations = [
        Variation(
            item.text("name"),
            (item.text("a"), item.text("b")),
            item.flag("applied"),
            item.text("reason"),
        )
        for item in data.each("variations")
    ]
    builds = data.within("builds")
    a, b = builds.within("a"), builds.within("b")
    return Reproduction(
        same=data.flag("same"),
        differences=tuple(
            (item.text("file"), item.text("where")) for item in data.each("differences")
        ),
        variations=tuple(variations),
        seconds=(a.number("seconds"), b.number("seconds")),
        sums=(_sums(a.within("sums")), _sums(b.within("sums"))),
    )


def _sums(data: Fields) -> dict[str, str]:
    return {name: data.text(name) for name in data.names()}


@dataclass(frozen=True)
class Rebuild:
    """What ``doit reproduce manifest=`` found: here against what the manifest says.

    Attributes:
        same: whether every output has the sum that the manifest names.
        inputs: those that differ: name, there, here.
        outputs: those that differ: name, and what explains it.
        seconds: of the build.
    """

    same: bool
    inputs: tuple[tuple[str, str, str], ...]
    outputs: tuple[tuple[str, tuple[str, ...]], ...]
    seconds: float


def read_rebuild(path: Path) -> Rebuild:
    """Read the ``result.json`` of a rebuild from a manifest.

    Raises:
        Damaged: it is not whole.
    """
    data = read_json(path)
    inputs = [
        (item.text("name"), _value(item, "a"), _value(item, "b")) for item in data.each("inputs")
    ]
    outputs = [(item.text("name"), tuple(item.texts("reasons"))) for item in data.each("outputs")]
    return Rebuild(data.flag("same"), tuple(inputs), tuple(outputs), data.number("seconds"))


def _value(item: Fields, name: str) -> str:
    return item.text(name) if item.has(name) else "none"
