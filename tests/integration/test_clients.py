"""fio, nvme-cli and lspci in the guest: what nobody here wrote agrees, or a run is no pass."""

import json
from dataclasses import replace

import pytest

from boot.artifacts import Artifacts, built_in
from boot.outcome import Outcome
from boot.trace import Transfer
from bundle.image import write_image
from bundle.manifest import load
from host.packages import owners
from kernel.selection import Selection
from rootfs.packed import packed_files
from settings.paths import Workspace
from tests.integration.conftest import Lab
from tests.integration.own_build import built
from verify import clients
from verify.clients import FioRun
from verify.runner import Status
from verify.session import Session
from verify.verdict import Verdict

pytestmark = pytest.mark.kernel

SMALL = 4  # of the standard copies: one chunk each, through the memory of either drive


@pytest.fixture(scope="module")
def selection(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Selection:
    """Return a build on the tested kernel with the programs in its root file system."""
    return built(workspace, tmp_path_factory.mktemp("clients") / "build", rootfs="tools")


@pytest.fixture
def artifacts(selection: Selection) -> Artifacts:
    """Return what is booted."""
    return built_in(selection.workspace)


def verdict_with(lab: Lab, artifacts: Artifacts, topology: str = "switch-q35") -> Verdict:
    """Verify with few copies, and with all programs."""
    inputs = lab.inputs(topology)
    few = replace(inputs.scenario, steps=inputs.scenario.copies[:SMALL])
    return lab.verify(replace(inputs, artifacts=artifacts, scenario=few))


def by_title(verdict: Verdict, status: Status) -> dict[str, str]:
    """Return what was said by the checks of the programs that ended like this."""
    programs = ("fio", "nvme", "lspci")
    return {
        result.title: result.detail
        for result in verdict.results
        if result.status is status and result.title.startswith(programs)
    }


def test_all_programs_agree(lab: Lab, artifacts: Artifacts) -> None:
    verdict = verdict_with(lab, artifacts)

    assert verdict.outcome is Outcome.PASSED
    seen = by_title(verdict, Status.PASSED)
    assert len(seen) == 5
    assert all("none through host RAM" in text for title, text in seen.items() if "fio" in title)
    (tree,) = (text for title, text in seen.items() if title.startswith("lspci"))
    assert tree.count("QEMU NVM Express Controller") in (0, 2)  # 0: no pci.ids on this machine
    assert "[03]----00.0" in tree


def test_every_packed_file_is_an_input_and_has_its_package_in_the_bill(
    selection: Selection,
) -> None:
    image = write_image(selection)

    listed = packed_files(selection.workspace.packed)
    manifest = load(image / "manifest.json")
    inputs = {tool.name for tool in manifest.tools if tool.name.startswith("packed/")}
    assert inputs == {f"packed{target}" for target in listed}
    packages = {owner.name for owner in owners(listed.values()).values()}
    bill = json.loads((image / "sbom.cdx.json").read_text())
    assert packages <= {component["name"] for component in bill["components"]}
    assert not packages or "fio" in packages  # none: a distribution without dpkg


def test_fio_is_refused_where_the_kernel_refuses(lab: Lab, artifacts: Artifacts) -> None:
    verdict = verdict_with(lab, artifacts, "root-ports")

    assert verdict.outcome is Outcome.PASSED
    told = [text for title, text in by_title(verdict, Status.PASSED).items() if "fio" in title]
    assert len(told) == 2
    assert all("Remote I/O error" in text or "Invalid argument" in text for text in told)


def test_wrong_data_and_the_wrong_way_are_found(
    lab: Lab, artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run finds another byte than it wrote; the other one has its buffers in host RAM."""
    as_it_is, command = clients.require_peer_to_peer, clients.fio_command

    def tampering(session: Session, run: FioRun, direction: str, moved: list[Transfer]) -> None:
        as_it_is(session, run, direction, moved)
        place = run.offset + 70000
        (byte,) = session.images.now(run.client, place, 1)
        session.images.put(run.client, place, bytes([byte ^ 1]))

    def in_ram(session: Session, run: FioRun, *mode: str) -> str:
        text = command(session, run, *mode)
        other = run.provider == session.topology.providers[1].name
        return text.replace(f"mmapshared:{session.node(run.provider)}", "malloc") if other else text

    monkeypatch.setattr(clients, "require_peer_to_peer", tampering)
    monkeypatch.setattr(clients, "fio_command", in_ram)

    verdict = verdict_with(lab, artifacts)

    assert verdict.outcome is Outcome.FAILED
    wrong, ram = by_title(verdict, Status.FAILED).values()
    assert "verify" in wrong
    assert "crc32c" in wrong
    assert "QEMU traced {'d00d0001 write host RAM': 1048576}" in ram
