"""Fixtures of p2pmem-test's tests; the test files name this module as their plugin."""

from pathlib import Path

import pytest

from tests.unit.p2pmem_tool import (
    DATA,
    SANITIZERS,
    Tool,
    make,
    make_shim,
    sanitizer_library,
)


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the tool as shipped, dynamic, and with sanitizers; and the shim."""
    out = tmp_path_factory.mktemp("p2pmem-test")
    make(out / "static")
    make(out / "dynamic", "STATIC=")
    make(out / "sanitized", "STATIC=", f"CFLAGS={SANITIZERS}")
    make_shim(out)
    return out


@pytest.fixture
def drives(tmp_path: Path) -> Path:
    """Folder with two different drives and a memory, as regular files."""
    for name, data in DATA.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


@pytest.fixture
def tool(builds: Path, drives: Path) -> Tool:
    """The tool as shipped."""
    return Tool(builds / "static/p2pmem-test", drives)


@pytest.fixture(params=["dynamic", "sanitized"])
def shimmed(request: pytest.FixtureRequest, builds: Path, drives: Path) -> Tool:
    """The tool above the shim, as shipped and with ASan and UBSan."""
    preloaded = (sanitizer_library(),) if request.param == "sanitized" else ()
    program = builds / request.param / "p2pmem-test"
    return Tool(program, drives, builds / "p2pmem_shim.so", preloaded)


@pytest.fixture(params=["static", "sanitized"])
def either(request: pytest.FixtureRequest, builds: Path, drives: Path) -> Tool:
    """The tool as shipped, and with ASan and UBSan."""
    return Tool(builds / request.param / "p2pmem-test", drives)
