"""What the programs of a build see of the environment: little of the caller's, the rest fixed.

A variable that somebody happens to export (``CFLAGS``, ``LOCALVERSION``, ``C_INCLUDE_PATH``, ...)
must not change a byte of what is built.
"""

from host.process import environment

# Documentation/kbuild/reproducible-builds.rst names these variables. The moment is fixed, not
# taken from the clock: the same inputs have to give the same bytes at any time.
SOURCE_DATE_EPOCH = 1684152000
REPRODUCIBLE = {
    "KBUILD_BUILD_USER": "p2plab",
    "KBUILD_BUILD_HOST": "p2plab",
    "KBUILD_BUILD_VERSION": "1",
    "KBUILD_BUILD_TIMESTAMP": "Mon May 15 12:00:00 UTC 2023",
    "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH),
    # Set, if to nothing: else the kernel's name ends in "+" where its tree is a git checkout.
    "LOCALVERSION": "",
    "LC_ALL": "C",
    "TZ": "UTC",
}
# What the caller may say: where programs, scratch space and caches are. Patterns of fnmatch.
PASSED = (
    "PATH",
    "HOME",
    "TMPDIR",
    "CCACHE_*",
    "XDG_CACHE_HOME",  # where ccache keeps its cache
    "XDG_CONFIG_HOME",  # and its configuration
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "FAKETIME*",
    "NO_FAKE_STAT",
)


def build_environment() -> dict[str, str]:
    """Return the whole environment of a program that makes a part of the image."""
    return environment(REPRODUCIBLE, PASSED)
