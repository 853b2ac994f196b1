"""Memory that is no CMB, and drives that change their driver: verified, and seen to fail."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from boot.outcome import Outcome
from boot.topology import Port
from settings.paths import Workspace
from tests.integration.conftest import Act, Lab
from tests.integration.results import ran
from tests.integration.test_failing_verdicts import with_image
from tests.integration.test_lying_tool import image_with_lie
from verify.drivers import DriverStep
from verify.record import CopyRecord, Expected
from verify.run import Inputs
from verify.runner import Status
from verify.scenario import Copy
from verify.session import Session
from verify.verdict import Verdict

pytestmark = pytest.mark.kernel

SAME = "host: copied ranges are the same on both images"


def with_steps(inputs: Inputs, steps: Sequence[Copy | DriverStep]) -> Inputs:
    return replace(inputs, scenario=replace(inputs.scenario, steps=tuple(steps)))


def through(verdict: Verdict, provider: str) -> list[CopyRecord]:
    return [record for record in verdict.copies if record.copy.provider == provider]


# --- the shipped scenarios --------------------------------------------------------------------


def test_memory_that_the_module_claims_by_itself(lab: Lab) -> None:
    verdict = lab.verify(lab.inputs("ivshmem", "ivshmem"))
    assert verdict.outcome is Outcome.PASSED, verdict.cause
    records = through(verdict, "shared")
    assert {record.copy.memory for record in records} == {"p2pmem", "allocate"}
    for record in records:
        assert set(record.predicted.values()) == {"below a common upstream bridge"}
        length = record.copy.length
        assert record.traced[f"{record.copy.source} read peer memory 0000:05:00.0"] == length
        assert record.traced[f"{record.copy.destination} write peer memory 0000:05:00.0"] == length
    details = [text for title, text in ran(verdict, Status.PASSED).items() if "of shared" in title]
    assert all("proven by the addresses alone" in text for text in details)


def test_memory_that_does_not_remember_is_found_out_every_time(lab: Lab) -> None:
    verdict = lab.verify(lab.inputs("testdev", "testdev"))
    assert verdict.outcome is Outcome.PASSED, verdict.cause
    records = through(verdict, "forgetful")
    assert len(records) == 5
    assert {record.tool["result"] for record in records} == {"mismatch"}
    assert {record.expected for record in records} == {Expected.MISMATCH}
    assert "5 ranges are different, as they must be" in ran(verdict, Status.PASSED)[SAME]


def test_drive_that_is_taken_from_nvme_and_given_back(lab: Lab) -> None:
    verdict = lab.verify(lab.inputs("takeover", "takeover"))
    assert verdict.outcome is Outcome.PASSED, verdict.cause
    told = "\n".join(ran(verdict, Status.PASSED).values())
    assert "bind: No such device\n" in told
    assert "BAR 0 is 16 KiB; device memory must be a multiple of 2 MiB; BAR 2 (16 MiB)" in told
    as_peer = [item for item in through(verdict, "d00d0003") if "d00d0003" not in item.predicted]
    as_drive = [item for item in verdict.copies if "d00d0003" in item.predicted]
    assert as_peer
    assert as_drive
    assert all("own CMB" not in key for item in as_peer for key in item.traced)


def test_kernel_refuses_memory_of_a_card_elsewhere_as_predicted(lab: Lab) -> None:
    inputs = lab.inputs("ivshmem", "ivshmem")
    topology = inputs.topology
    apart = replace(
        topology,
        ports=(*topology.ports, Port("elsewhere", "pcie-root-port", "", 5)),
        cards=(replace(topology.cards[0], parent="elsewhere"),),
    )
    verdict = lab.verify(replace(inputs, topology=apart))
    assert verdict.outcome is Outcome.PASSED, verdict.cause
    assert {record.expected for record in through(verdict, "shared")} == {Expected.REFUSED}
    assert {record.expected for record in through(verdict, "d00d0001")} == {Expected.MATCH}


# --- seen to fail -----------------------------------------------------------------------------


def test_tool_that_says_match_of_memory_that_does_not_remember(
    lab: Lab, workspace: Workspace, tmp_path: Path
) -> None:
    inputs = lab.inputs("testdev", "testdev")
    image = image_with_lie(workspace, "HONEST", tmp_path / "image")
    verdict = lab.verify(with_image(inputs, image))
    assert verdict.outcome is Outcome.FAILED
    assert "a match, but the memory of forgetful does not remember" in verdict.cause
    lies = [title for title in ran(verdict, Status.FAILED) if "of forgetful" in title]
    assert len(lies) == len(through(verdict, "forgetful")) == 5
    # The host was not asked to believe it: that the images differ it sees by itself.
    assert "5 ranges are different" in ran(verdict, Status.PASSED)[SAME]


def test_images_that_are_the_same_though_the_memory_does_not_remember(
    lab: Lab, after: Callable[[Act], None]
) -> None:
    inputs = lab.inputs("testdev", "testdev")
    copy = inputs.scenario.copies[0]
    assert copy.provider == "forgetful"

    def mend(session: Session) -> str:
        with session.images.paths[copy.destination].open("r+b") as stream:
            stream.seek(copy.offset)
            stream.write(session.images.now(copy.source, copy.offset, copy.length))
        return "the destination has the data after all"

    after(mend)
    verdict = lab.verify(inputs)
    assert verdict.outcome is Outcome.FAILED
    (detail,) = ran(verdict, Status.FAILED).values()
    assert f"the block at byte {copy.offset} is the same on both drives" in detail


BIND = DriverStep("bind", "forgetful", "p2pmem_pci")
WRONG: dict[DriverStep, str] = {
    # Each is wrong in one thing, and leaves the function as the next one takes it to be.
    BIND: "bind` ended with 1: sh: write error: No such device",
    replace(BIND, errno="ENXIO"): "was to fail with ENXIO, No such device or address, but: ",
    replace(BIND, errno="ENODEV", dmesg="nothing of the kind"): "0 new lines of the log match",
    DriverStep("new_id", "forgetful", "p2pmem_pci", dmesg="17 MiB"): (
        "0 new lines of the log match '17 MiB', not 1; they are:\n"
    ),
    replace(BIND, errno="ENODEV"): "was to fail with ENODEV, No such device, but: ",
    DriverStep(
        "unbind", "forgetful", "p2pmem_pci", errno="ENODEV"
    ): "ENODEV, No such device, but d",
}


def test_steps_that_the_kernel_does_not_take_as_they_say(lab: Lab) -> None:
    inputs = lab.inputs("testdev", "testdev")
    verdict = lab.verify(with_steps(inputs, [*WRONG, inputs.scenario.copies[-1]]))
    assert verdict.outcome is Outcome.FAILED
    details = [item.detail for item in verdict.results if item.title.startswith("step ")]
    for words, detail in zip(WRONG.values(), details, strict=False):
        assert words in detail
    assert Status.PASSED in {item.status for item in verdict.results if "step 7" in item.title}
