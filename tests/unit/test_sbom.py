"""The SBOM: what is in it, that it is valid, and that the same image gives the same text."""

import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cyclonedx.model.bom
import pytest

from bundle import licences
from bundle.components import SbomError
from bundle.manifest import KernelInput
from bundle.sbom import HEAD, sbom, validate
from kernel.environment import SOURCE_DATE_EPOCH
from rootfs.initramfs import ImageFile
from rootfs.sources import FOLDER
from settings.paths import PROJECT
from tests.unit.fake_dpkg import database
from tests.unit.image_parts import APT, OUTPUTS, SUM, TREE, URL, Machine

Json = dict[str, Any]
SHIPPED_PACKAGES = {"busybox-static", "glibc", "libc6-dev", "libgcc-12-dev"}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("sbom")
    docs = folder / "doc"
    (docs / "flex").mkdir(parents=True)
    (docs / "flex/copyright").write_text(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
        "Files: *\nLicense: Flex\n\nFiles: debian/*\nLicense: GPL-2+\n"
    )
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(licences, "DOCS", docs)
        made = Machine(folder / "machine", database(folder, monkeypatch))
        made.install()
        yield made


@pytest.fixture(scope="module")
def text(machine: Machine) -> str:
    return sbom(machine.parts())


def listed(text: str) -> dict[str, Json]:
    """Return the components by name, nested ones as ``parent/name``."""
    found = {}
    for component in json.loads(text)["components"]:
        found[component["name"]] = component
        for nested in component.get("components", ()):
            found[f"{component['name']}/{nested['name']}"] = nested
    return found


def properties(component: Json) -> dict[str, str]:
    return {item["name"]: item["value"] for item in component.get("properties", ())}


def licence(component: Json) -> list[str]:
    names = []
    for item in component.get("licenses", ()):
        inner = item.get("license", {})
        names.append(item.get("expression") or inner.get("id") or f"named {inner['name']}")
    return names


def needs(text: str) -> dict[str, set[str]]:
    """Return the graph, by names."""
    document = json.loads(text)
    everything = [document["metadata"]["component"], *document["components"]]
    names = {component["bom-ref"]: component["name"] for component in everything}
    return {
        names[item["ref"]]: {names[ref] for ref in item.get("dependsOn", ())}
        for item in document["dependencies"]
    }


def test_every_output_is_listed_with_its_sum(machine: Machine, text: str) -> None:
    parts = machine.parts()

    found = listed(text).values()

    sums = {
        properties(component)["p2plab:file"]: component["hashes"][0]["content"]
        for component in found
        if "p2plab:file" in properties(component)
    }
    assert sums == {output.name: output.sha256 for output in parts.outputs}


def test_every_package_that_puts_bytes_into_the_image(machine: Machine, text: str) -> None:
    found = listed(text)

    shipped = {name for name in found if "/" not in name and found[name].get("purl")} - {"linux"}
    assert {name for name in shipped if found[name]["scope"] == "required"} == SHIPPED_PACKAGES
    busybox = found["busybox-static"]
    assert busybox["version"] == "1:1.35.0-4+deb12u1+b1"
    assert busybox["purl"] == (
        "pkg:deb/debian/busybox-static@1:1.35.0-4%2Bdeb12u1%2Bb1?arch=amd64&distro=debian-12"
    )
    assert properties(found["busybox-static/busybox"])["p2plab:guest-path"] == "/bin/busybox"
    assert found["busybox-static/busybox"]["hashes"] == [
        {"alg": "SHA-256", "content": machine.parts().tools[5].sha256}
    ]
    assert {"libc6-dev/crt1.o", "libc6-dev/libc.a", "libgcc-12-dev/libgcc.a"} <= found.keys()
    # What busybox was linked with is of another version than what the tool was.
    assert found["glibc"]["version"] == "2.36-9+deb12u4"
    assert "arch=source" in found["glibc"]["purl"]
    assert properties(found["own.a"])["p2plab:licence"] == "not known"


def test_licences(text: str) -> None:
    found = listed(text)

    assert licence(found["linux"]) == ["GPL-2.0-only WITH Linux-syscall-note"]
    assert licence(found["busybox-static"]) == ["GPL-2.0-only"]
    assert licence(found["p2pmem_pci"]) == licence(found["p2pmem-test"]) == ["GPL-2.0-only"]
    assert licence(found["libc6-dev"]) == licence(found["glibc"]) == ["LGPL-2.1-or-later"]
    assert licence(found["libgcc-12-dev"]) == ["GPL-3.0-or-later WITH GCC-exception-3.1"]
    assert licence(found["flex"]) == ["named Flex", "named GPL-2+"]
    # The exception is for what gcc links into programs, not for gcc.
    assert licence(found["gcc-12"]) == []
    assert properties(found["gcc-12"])["p2plab:licence"] == "not known"
    assert "p2plab:licence" not in properties(found["flex"])


def test_build_tools_are_told_apart_from_what_is_shipped(text: str) -> None:
    found = listed(text)

    tools = {name for name, component in found.items() if component["scope"] == "excluded"}
    assert tools == {
        "binutils-x86-64-linux-gnu", "binutils-x86-64-linux-gnu/as", "binutils-x86-64-linux-gnu/ld",
        "flex", "flex/flex", "gcc-12", "gcc-12/gcc", "python3",
    }  # fmt: skip
    for name, component in found.items():
        role = "build-tool" if name in tools else "shipped"
        assert properties(component)["p2plab:role"] == role
    assert properties(found["flex/flex"])["p2plab:version-line"] == "flex 2.6.4"


def test_graph(text: str) -> None:
    graph = needs(text)

    kernel = {"bzImage", "vmlinux", "System.map", ".config"}
    built = {*kernel, "p2pmem_pci", "p2pmem-test", "initramfs.cpio.lz4"}
    assert graph["p2plab-image"] == {*built, "p2plab"}
    for name in (*kernel, "p2pmem_pci"):
        assert graph[name] == {"linux"}
    assert graph["p2pmem-test"] == {"libc6-dev", "libgcc-12-dev", "own.a"}
    assert graph["initramfs.cpio.lz4"] == {
        "busybox-static", "p2pmem_pci", "p2pmem-test", "p2plab-rootfs",
    }  # fmt: skip
    assert graph["busybox-static"] == {"glibc"}
    assert graph["gcc-12"] == set()


@pytest.mark.parametrize(
    ("kernel", "purl", "reference"),
    [
        (
            APT,
            "pkg:deb/debian/linux-source-6.12@6.12.117-1~deb12u1?arch=all&distro=debian-12",
            "pkg:deb/debian/linux-source-6.12@6.12.117-1~deb12u1?arch=all&distro=debian-12",
        ),
        (
            URL,
            f"pkg:generic/linux@6.3.2?checksum=sha256:{SUM}&download_url="
            "https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.3.2.tar.xz",
            "https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.3.2.tar.xz",
        ),
        (TREE, "pkg:generic/linux@6.3.2", ""),
    ],
    ids=["apt", "url", "path"],
)
def test_kernel(machine: Machine, kernel: KernelInput, purl: str, reference: str) -> None:
    own = sbom(machine.parts(kernel))
    validate(own)

    linux = listed(own)["linux"]

    assert (linux["version"], linux["purl"]) == (kernel.version, purl)
    assert linux["hashes"] == [{"alg": "SHA-256", "content": SUM}]
    told = properties(linux)
    assert told["p2plab:sha256-of"] == (kernel.file or "all files of the tree")
    assert told.get("p2plab:reason", "") == kernel.reason
    found = [(item["type"], item["url"]) for item in linux.get("externalReferences", ())]
    assert found == ([("source-distribution", reference)] if reference else [])
    assert json.loads(own)["metadata"]["component"]["version"] == kernel.version


def test_versions_are_those_of_the_sources(text: str) -> None:
    found = listed(text)

    assert f'"{found["p2pmem-test"]["version"]}"' in (PROJECT / "p2pmem-test/version.h").read_text()
    assert (
        f'version = "{found["p2pmem_pci"]["version"]}"' in (PROJECT / "pyproject.toml").read_text()
    )


def test_scripts_of_the_root_file_system(text: str) -> None:
    found = listed(text)

    assert properties(found["p2plab-rootfs/init"])["p2plab:guest-path"] == "/init"
    assert "p2plab-rootfs/profile" in found
    assert properties(found["p2pmem-test"])["p2plab:guest-path"] == "/bin/p2pmem-test"


def test_library_that_the_image_gets_one_day(machine: Machine) -> None:
    parts = machine.parts()
    library = machine.file("lib/libz.so.1")
    machine.dpkg.add("zlib1g", "1:1.2.13", library, Source="zlib")
    more = [ImageFile(f"/lib/{name}", library, "644") for name in ("libz.so.1", "libz.so")]

    found = sbom(replace(parts, contents=(*parts.contents, *more)))

    validate(found)
    assert "zlib1g" in needs(found)["initramfs.cpio.lz4"]
    nested = listed(found)["zlib1g/libz.so.1"]
    places = {item["value"] for item in nested["properties"] if item["name"] == "p2plab:guest-path"}
    assert places == {"/lib/libz.so.1", "/lib/libz.so"}


def test_machine_without_packages(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = machine.parts()
    monkeypatch.setenv("PATH", str(machine.folder))

    own = sbom(parts)

    validate(own)
    found = listed(own)
    assert found["busybox"]["scope"] == "required"
    assert "purl" not in found["busybox"]
    assert properties(found["libc.a"])["p2plab:licence"] == "not known"
    assert {"busybox", "p2pmem-test"} <= needs(own)["initramfs.cpio.lz4"]


def test_no_path_user_or_host(machine: Machine, text: str) -> None:
    for word in (str(machine.folder), str(PROJECT), str(FOLDER), "/home/", "/tmp/", "/usr/"):
        assert word not in text


def test_reader_first_meets_what_it_is_about(text: str) -> None:
    assert [*json.loads(text)] == [*HEAD, "components", "dependencies"]


def test_time_and_serial_number_come_from_the_inputs(machine: Machine, text: str) -> None:
    parts = machine.parts()
    first = json.loads(text)
    lab = replace(parts.lab, recipe="ef" * 32)
    other = json.loads(sbom(replace(parts, lab=lab)))

    moment = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(SOURCE_DATE_EPOCH))
    assert first["metadata"]["timestamp"] == moment
    assert first["serialNumber"] != other["serialNumber"]
    # Neither a commit nor a checkout with changes alone makes other bytes.
    committed = replace(parts.lab, commit="", dirty=True)
    assert json.loads(sbom(replace(parts, lab=committed))) == first


def test_neither_clock_nor_chance_is_asked(
    machine: Machine, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_args: object) -> None:
        pytest.fail("the clock or a random number was asked for")

    for name in ("uuid4", "_get_now_utc"):
        monkeypatch.setattr(cyclonedx.model.bom, name, asked)
    monkeypatch.setattr("cyclonedx.contrib.bom.utils.random", asked)

    assert sbom(machine.parts()) == text


def test_same_text_in_another_order_zone_and_language(
    machine: Machine, text: str, tmp_path: Path
) -> None:
    parts = machine.parts()
    (tmp_path / "parts").write_bytes(pickle.dumps(parts))
    program = (
        "import pickle, platform, sys; from pathlib import Path; from bundle import licences, sbom;"
        "from tests.unit.fake_dpkg import OS_RELEASE;"
        "platform.freedesktop_os_release = lambda: OS_RELEASE;"
        "licences.DOCS = Path(sys.argv[2]);"
        "parts = pickle.loads(Path(sys.argv[1]).read_bytes());"
        "print(sbom.sbom(parts), end='')"
    )
    for zone, language, seed in (("Asia/Tokyo", "C", "1"), ("America/Lima", "tr_TR.UTF-8", "2")):
        changed = {"TZ": zone, "LC_ALL": language, "PYTHONHASHSEED": seed}
        argv = [sys.executable, "-c", program, str(tmp_path / "parts"), str(licences.DOCS)]
        done = subprocess.run(
            argv, cwd=PROJECT, env={**os.environ, **changed}, capture_output=True, check=True
        )
        assert done.stdout.decode() == text
    turned = replace(
        parts,
        tools=parts.tools[::-1],
        outputs=parts.outputs[::-1],
        contents=parts.contents[::-1],
        linked=parts.linked[::-1],
    )
    assert sbom(turned) == text


def test_same_text_from_another_folder(
    text: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("a-folder-with-a-much-longer-name")
    other = Machine(folder / "machine", database(folder, monkeypatch))
    other.install()

    assert sbom(other.parts()) == text


def test_valid(text: str) -> None:
    validate(text)


def _no_licence_of_that_name(document: Json) -> None:
    document["components"][-1]["licenses"] = [{"license": {"id": "GPL-2"}}]


def _short_sum(document: Json) -> None:
    next(item for item in document["components"] if item.get("hashes"))["hashes"][0]["content"] = (
        "12"
    )


def _unknown_field(document: Json) -> None:
    document["metadata"]["host"] = "here"


def _random_serial_number(document: Json) -> None:
    document["serialNumber"] = "1"


def _same_component_twice(document: Json) -> None:
    document["components"].append(document["components"][0])


@pytest.mark.parametrize(
    ("damage", "place"),
    [
        (_no_licence_of_that_name, r"\$\.components\[\d+\]\.licenses"),
        (_short_sum, r"\$\.components\[\d+\]\.hashes\[0\]\.content"),
        (_unknown_field, r"\$\.metadata: .*'host' was unexpected"),
        (_random_serial_number, r"\$\.serialNumber"),
        (_same_component_twice, r"\$\.components: .*non-unique"),
    ],
)
def test_damaged(text: str, damage: Callable[[Json], None], place: str) -> None:
    document = json.loads(text)
    damage(document)

    with pytest.raises(SbomError, match=rf"^sbom\.cdx\.json: {place}"):
        validate(json.dumps(document))


def test_text_that_is_no_json(text: str) -> None:
    with pytest.raises(SbomError, match=r"^sbom\.cdx\.json: not JSON: "):
        validate(text[:-3])


@pytest.mark.parametrize("missing", ["bzImage", "p2pmem-test", "initramfs.cpio.lz4"])
def test_image_that_lacks_a_file(machine: Machine, missing: str) -> None:
    parts = machine.parts()
    rest = tuple(output for output in parts.outputs if output.name != missing)

    assert missing in OUTPUTS
    with pytest.raises(SbomError, match=f"there is no {missing} in the image"):
        sbom(replace(parts, outputs=rest))
