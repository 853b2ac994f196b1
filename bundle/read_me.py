"""``README`` of an image: what a person who finds it years later has to know."""

from bundle.manifest import KernelInput, Manifest
from bundle.own import own_names
from kernel.kbuild import MAPPED_BUILD, MAPPED_MODULE, MAPPED_SOURCE
from settings.paths import MODULE_FILE, TOOL_FILE

TEXT = """\
{kernel}

An image of the p2plab lab for Linux PCI peer-to-peer DMA: a kernel, the module {module},
the tool {tool}, and a root file system with both. The machine is {topology} (topology.toml)
with the QEMU CPU model {cpu}; what is verified on it is {scenario} (scenario.toml).

What it was made from is in manifest.json: {commit}.
What is in it, by whom and under which licence, is in sbom.cdx.json (CycloneDX 1.6).

Check     sha256sum -c SHA256SUMS                      are these the files that were written?
          ./doit verify bundle=BUNDLE                  the same, then boot them and verify
Boot      ./boot.sh                                    needs QEMU and a POSIX shell
Debug     ./boot.sh -s -S, and in another terminal, beside the unpacked source of the kernel:
          gdb vmlinux -ex 'set substitute-path {mapped_source} SOURCE' \\
                      -ex 'target remote 127.0.0.1:1234'
          The module's sources are {mapped_module} there.
Rebuild   ./doit {own}reproduce manifest=BUNDLE/image/manifest.json
          in a checkout of the commit above: lists inputs that differ, builds, compares the sums

./doit is the command of a p2plab checkout; BUNDLE is the folder above this one, or its archive.
"""


def read_me(manifest: Manifest) -> str:
    """Return the text; a kernel that is not the one asked for comes first."""
    lab, own = manifest.lab, own_names(manifest)
    commit = f"p2plab at commit {lab.commit}" if lab.commit else "p2plab outside of git"
    return TEXT.format(
        kernel=kernel_line(manifest.kernel),
        topology=manifest.topology.name,
        scenario=manifest.scenario.name,
        cpu=manifest.cpu,
        mapped_source=MAPPED_SOURCE,
        mapped_module=MAPPED_MODULE if "module" in own else f"{MAPPED_BUILD}/p2pmem-pci",
        module=f"{own['module']} of a user's own" if "module" in own else MODULE_FILE,
        tool=f"{own['tool']} of a user's own" if "tool" in own else TOOL_FILE,
        own="".join(f"{kind}={name} " for kind, name in own.items()),
        commit=f"{commit}, with changes that no commit has" if lab.dirty else commit,
    )


def kernel_line(kernel: KernelInput) -> str:
    """Return which kernel it is, and first of all whether another one was asked for."""
    origin = {
        "url": f"{kernel.file}",
        "apt": f"package {kernel.package} {kernel.package_version}",
        "path": "a user's own tree",
    }[kernel.kind]
    line = f"Linux {kernel.release} (from {origin})"
    if not kernel.substituted:
        return line
    return f"NOT the kernel that was asked for ({kernel.asked}): {line}, because {kernel.reason}"
