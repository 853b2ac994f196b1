"""The shipped topologies verify, and for the right reasons."""

import json

import pytest

from boot.outcome import Outcome
from tests.integration.conftest import Lab
from verify.refusal import REFUSED_MESSAGE
from verify.reports import write_reports
from verify.runner import Status
from verify.verdict import Verdict

pytestmark = pytest.mark.kernel


def details(verdict: Verdict, word: str) -> list[str]:
    """Return the details of the checks whose title has a word in it."""
    return [result.detail for result in verdict.results if word in result.title]


@pytest.mark.parametrize("topology", ["switch-q35", "switch"])
def test_copies_go_peer_to_peer_behind_a_switch(lab: Lab, topology: str) -> None:
    verdict = lab.verify(lab.inputs(topology))
    assert verdict.outcome is Outcome.PASSED, verdict.cause
    assert all(result.status is Status.PASSED for result in verdict.results)
    assert all(record.allowed for record in verdict.copies)
    assert "own CMB 4194304, peer CMB 4194304, host RAM 0" in details(verdict, "64 x 64k")[0]


def test_root_ports_are_refused_in_the_kernels_own_words(lab: Lab) -> None:
    inputs = lab.inputs("root-ports")
    verdict = lab.verify(inputs)
    assert verdict.outcome is Outcome.PASSED, verdict.cause
    peer_copies = [record for record in verdict.copies if record.copy.provider]
    assert peer_copies
    assert not any(record.allowed for record in peer_copies)
    write_reports(verdict, inputs.folder)
    report = json.dumps(json.loads((inputs.folder / "verdict.json").read_text()))
    assert REFUSED_MESSAGE.format(provider="0000:01:00.0") in report


def test_root_ports_are_allowed_on_an_amd_epyc(lab: Lab) -> None:
    # Only under TCG: KVM gives the guest the host's vendor, whatever the model.
    verdict = lab.verify(lab.inputs("root-ports", cpu="EPYC", accel="tcg"))
    assert verdict.outcome is Outcome.PASSED, verdict.cause
    assert all(record.allowed for record in verdict.copies)
