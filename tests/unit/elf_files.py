"""Small ELF files, made by gcc: programs, a module, a kernel."""

import subprocess
from pathlib import Path

MODULE = (
    'static const char modinfo[] __attribute__((section(".modinfo"), used)) ='
    ' "license=GPL\\0vermagic=%s";\n'
)


def compiled(target: Path, source: str, *flags: str) -> Path:
    """Compile a C source text."""
    subprocess.run(
        ["gcc", "-x", "c", "-", "-o", str(target), *flags], input=source, text=True, check=True
    )
    return target


def program(target: Path, *flags: str) -> Path:
    """Make a program; dynamic unless the flags say otherwise."""
    return compiled(target, "int main(void) { return 0; }\n", *flags)


def module(target: Path, vermagic: str, *flags: str) -> Path:
    """Make what the lab looks at in a kernel module."""
    return compiled(target, MODULE % vermagic, "-c", *flags)


def vmlinux(target: Path, vermagic: str) -> Path:
    """Make what the lab looks at in a kernel."""
    source = f'static const char vermagic[] __attribute__((used)) = "{vermagic}";\nint start;\n'
    return compiled(target, source, "-nostdlib", "-static", "-Wl,-e,start")
