"""What each output of an image is made from: the inputs that can be why its bytes differ.

Inputs go by dotted names (``inputs_of``). What was asked for, and which commit the lab is at,
is told about an image but is not in what is built; the sums of kernel and recipe are.
"""

import re
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase

from bundle.manifest import FileInput, KernelInput, LabInput, Manifest, ToolInput
from bundle.names import BILL, BOOT, FRAGMENTS, READ_ME, SCENARIO, TOPOLOGY
from settings.paths import BZIMAGE, DOT_CONFIG, INITRAMFS, SYSTEM_MAP, TOOL_FILE, VMLINUX


@dataclass(frozen=True)
class Origin:
    """What an output is made from.

    Attributes:
        inputs: patterns of names, the last fitting one decides; ``!`` says that it is none.
        outputs: the same for other outputs, which are in it or told about in it.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = ()

    def has_input(self, name: str) -> bool:
        """Return whether an input can be why this output differs."""
        return _fits(name, self.inputs)

    def has_output(self, name: str) -> bool:
        """Return whether another output can be why this one differs."""
        return _fits(name, self.outputs)


RECIPE = "lab.recipe"
ANY_MODULE = "*.ko"
MODULE_SOURCES = ("sources.p2pmem-pci", "sources.module/*")
MAKING = (RECIPE, "source_date_epoch")
# A tool that is not known here counts: rather an unlikely reason than a false alarm. Python only
# runs the lab. Libraries and start-up objects are linked into the tool alone.
COMPILERS = (
    "tools.*", "!tools.busybox.*", "!tools.lz4.*", "!tools.python3.*", "!tools.packed/*",
)  # fmt: skip
NO_LIBRARIES = ("!tools.*.a.*", "!tools.*.o.*")
NO_KBUILD = ("!tools.bc.*", "!tools.bison.*", "!tools.flex.*", "!tools.objcopy.*")
LINUX = ("kernel.sha256", "kernel.version", "kernel.release", "fragments.*.sha256", *MAKING)
KERNEL = (*LINUX, *COMPILERS, *NO_LIBRARIES)
# It tells about everything, and has the sums of what was there before it.
SBOM = Origin(("*",), ("*", f"!{BILL}", f"!{READ_ME}"))

ORIGINS = {
    BZIMAGE: Origin((*KERNEL, "tools.lz4.*")),
    VMLINUX: Origin(KERNEL),
    SYSTEM_MAP: Origin(KERNEL),
    DOT_CONFIG: Origin(KERNEL),
    # The lab's, or a user's own, whatever its name is.
    ANY_MODULE: Origin((*KERNEL, *MODULE_SOURCES)),
    TOOL_FILE: Origin((*MAKING, "sources.p2pmem-test", "sources.tool/*", *COMPILERS, *NO_KBUILD)),
    # kernel: its gen_init_cpio packs, and its release is in the path of the module
    INITRAMFS: Origin(
        (
            *MAKING,
            "kernel.sha256",
            "kernel.release",
            "sources.rootfs",
            "tools.busybox.*",
            "tools.lz4.*",
            "tools.packed/*",
        ),
        (ANY_MODULE, TOOL_FILE),
    ),
    BOOT: Origin((RECIPE, "topology.*", "cpu")),
    TOPOLOGY: Origin(("topology.sha256",)),
    SCENARIO: Origin(("scenario.sha256",)),
    READ_ME: Origin(("*",)),
    BILL: SBOM,
}
FRAGMENT = re.compile(FRAGMENTS + r"([0-9]+)-.*")
UNKNOWN = Origin(())


def origin_of(output: str, *, everywhere: bool = True) -> Origin:
    """Return what an output is made from.

    Args:
        output: its name in the image.
        everywhere: whether all the images that are compared have it. What else there is than
            fragments is decided by the recipe alone.
    """
    if fragment := FRAGMENT.fullmatch(output):
        return Origin((f"fragments.{fragment[1]}.*",))
    module = output.endswith(ANY_MODULE.removeprefix("*"))
    if not everywhere:
        # Another module has another name.
        return Origin((RECIPE, *MODULE_SOURCES)) if module else Origin((RECIPE,))
    return ORIGINS[ANY_MODULE] if module else ORIGINS.get(output, UNKNOWN)


def inputs_of(manifest: Manifest) -> dict[str, str]:
    """Return all inputs of an image as text, by dotted names such as ``tools.gcc.version``."""
    found = {
        "cpu": manifest.cpu,
        "source_date_epoch": str(manifest.source_date_epoch),
        **{f"sources.{source.name}": source.sha256 for source in manifest.sources},
    }
    groups: dict[str, KernelInput | LabInput | FileInput | ToolInput] = {
        "kernel": manifest.kernel,
        "lab": manifest.lab,
        "topology": manifest.topology,
        "scenario": manifest.scenario,
        # By place: later ones win, so another order is another input.
        **{f"fragments.{place}": item for place, item in enumerate(manifest.fragments)},
        **{f"tools.{tool.name}": tool for tool in manifest.tools},
    }
    for group, value in groups.items():
        fields = asdict(value)
        if isinstance(value, ToolInput):
            del fields["name"]  # is in the group's
        found |= {f"{group}.{field}": _text(item) for field, item in fields.items()}
    return found


def _text(value: object) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    fitting = [item for item in patterns if fnmatchcase(name, item.removeprefix("!"))]
    return bool(fitting) and not fitting[-1].startswith("!")
