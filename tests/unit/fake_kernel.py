"""A kernel tree whose make targets do in milliseconds, with gcc, what those of Linux do."""

import shlex
import sys
from pathlib import Path

from kernel.kbuild import Kbuild
from tests.unit.kernel_fixtures import kernel_tree

VERMAGIC = "6.12.1 SMP mod_unload "

KCONFIG = """\
mainmenu "fake"
config PRINTK
	bool "printk"
	default y
config PCI
	bool "PCI"
config 64BIT
	bool "64 bit"
config P2PDMA
	bool "P2PDMA"
	depends on PCI && 64BIT
	select GENERIC_ALLOCATOR
config GENERIC_ALLOCATOR
	bool
config NAME
	string "name"
"""

# What scripts/kconfig/conf does: the last assignment wins, what its dependencies forbid is off.
CONF = """\
import re, sys
kconfig, dot_config = sys.argv[1:]
asked = {}
for line in open(dot_config):
    if match := re.match(r"CONFIG_(\\w+)=(.+)", line):
        asked[match[1]] = match[2]
    if match := re.match(r"# CONFIG_(\\w+) is not set", line):
        asked[match[1]] = "n"
final, selected = {}, set()
for symbol in re.split(r"^config ", open(kconfig).read(), flags=re.M)[1:]:
    name, body = symbol.split("\\n", 1)
    needs = " ".join(re.findall(r"depends on (.*)", body)).split()
    allowed = all(final[need] != "n" for need in needs if need != "&&")
    settable = re.search(r'(bool|string) "', body)
    final[name] = asked.get(name, "n") if allowed and settable else "n"
    if name in selected:
        final[name] = "y"
    if final[name] == "y":
        selected.update(re.findall(r"select (\\w+)", body))
with open(dot_config, "w") as out:
    for name, value in final.items():
        out.write(f"# CONFIG_{name} is not set\\n" if value == "n" else f"CONFIG_{name}={value}\\n")
"""

MAKEFILE = """
ifeq ($(O),)
$(error this tree is built out of tree only)
endif
KERNEL := $(CURDIR)

# As Kbuild has it: a target whose recipe failed half way must not be there.
.DELETE_ON_ERROR:

tinyconfig:
	printf 'CONFIG_PRINTK=y\\nCONFIG_NAME="tiny"\\n# CONFIG_PCI is not set\\n' >$(O)/.config

olddefconfig:
	@PYTHON scripts/kconfig/conf.py Kconfig $(O)/.config

bzImage: $(O)/vmlinux $(O)/usr/gen_init_cpio $(O)/include/config/auto.conf
	mkdir -p $(O)/arch/x86/boot
	cp $< $(O)/arch/x86/boot/bzImage

$(O)/vmlinux: $(O)/kernel.o $(O)/lib.o
	$(CC) -nostdlib -static -Wl,-e,vermagic -o $@ $^

$(O)/%.o: %.c $(O)/.config
	$(CC) $(KCFLAGS) -c -o $@ $<

$(O)/include/config/auto.conf: $(O)/.config
	mkdir -p $(@D)
	cp $< $@
	echo 6.12.1 >$(@D)/kernel.release

$(O)/usr/gen_init_cpio: usr/gen_init_cpio.sh
	mkdir -p $(@D)
	cp $< $@
	chmod +x $@

ifdef M
include $(M)/Kbuild
modules: $(addprefix $(M)/,$(obj-m:.o=.ko))
$(M)/%.ko: $(M)/%.c $(O)/Module.symvers
	$(CC) $(KCFLAGS) -I$(KERNEL) -c -o $@ $<
else
modules:
	touch $(O)/Module.symvers
endif
"""


# Packs names and contents, without the paths of this machine.
GEN_INIT_CPIO = """\
#!/bin/sh
while read -r kind name source rest; do
	echo "$kind $name $rest"
	[ "$kind" != file ] || cat "$source"
done <"$3"
"""


def fake_kernel(root: Path, *, vermagic: str = VERMAGIC) -> Path:
    """Make a tree with tinyconfig, olddefconfig, bzImage and modules (also ``M=``)."""
    tree = kernel_tree(root)
    makefile = tree / "Makefile"
    targets = MAKEFILE.replace("@PYTHON", shlex.quote(sys.executable))
    makefile.write_text(makefile.read_text() + targets)
    (tree / "Kconfig").write_text(KCONFIG)
    (tree / "scripts/kconfig/conf.py").write_text(CONF)
    (tree / "kernel.c").write_text(f'const char vermagic[] = "{vermagic}";\n')
    (tree / "lib.c").write_text("int lib;\n")
    (tree / "usr").mkdir()
    (tree / "usr/gen_init_cpio.sh").write_text(GEN_INIT_CPIO)
    (tree / "fake_module.h").write_text(
        '__attribute__((section(".modinfo"), used))\n'
        f'static const char modinfo[] = "license=GPL\\0vermagic={vermagic}";\n'
    )
    return tree


def fake_module(folder: Path) -> Path:
    """Make the sources of a module ``own.ko`` that builds against the fake tree."""
    folder.mkdir()
    (folder / "Kbuild").write_text("obj-m := own.o\n")
    (folder / "own.c").write_text('#include "fake_module.h"\n')
    (folder / "README.md").write_text("for people\n")
    return folder


def fake_kbuild(folder: Path) -> Kbuild:
    """Make a fake tree in ``folder``, to be built in ``folder/build/linux``."""
    return Kbuild(fake_kernel(folder / "src"), folder / "build/linux", jobs=2)
