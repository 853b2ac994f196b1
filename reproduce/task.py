"""What doit runs in the reproduce stage."""

from host.files import discard
from kernel.selection import Selection
from reproduce import double, rebuild


def run(selection: Selection) -> None:
    """Build the image twice and compare, or build once what somebody's manifest describes."""
    manifest = selection.settings.manifest
    if manifest:
        rebuild.run(selection, manifest)
    else:
        double.run(selection)


def clean() -> None:
    """Remove what was left by both, also what a killed run still has mounted."""
    for scratch in (double.SCRATCH, rebuild.SCRATCH):
        if scratch.exists():
            double.release(scratch)
            discard(scratch)
