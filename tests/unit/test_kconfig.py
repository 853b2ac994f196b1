"""What a symbol depends on, read from Kconfig files."""

from pathlib import Path

import pytest

from kernel.kconfig import dependencies, is_defined, selectors, symbols_in


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "arch/x86").mkdir(parents=True)
    (tmp_path / "arch/arm").mkdir()
    return tmp_path


def defined_in(tree: Path, text: str, file: str = "mm/Kconfig") -> Path:
    path = tree / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return tree


def test_own_and_enclosing_conditions(tree: Path) -> None:
    defined_in(
        tree,
        'menu "Memory"\n\tdepends on MMU\n\tdepends on !TINY\n'
        "if PCI\n"
        'config A\n\tbool "a"\n\tdepends on B && \\\n\t\tC\n\tdepends on 64BIT\n'
        "endif\n"
        "endmenu\n",
    )

    assert dependencies(tree, "A") == ["MMU", "!TINY", "PCI", "B && C", "64BIT"]


def test_conditions_around_the_source_lines_that_lead_to_the_file(tree: Path) -> None:
    (tree / "Kconfig").write_text('if X86\nsource "drivers/Kconfig"\nendif\n')
    defined_in(tree, 'menu "d"\n\tdepends on MMU\nsource "drivers/a/Kconfig"\n', "drivers/Kconfig")
    defined_in(tree, 'config A\n\tbool "a"\n\tdepends on B || C\n', "drivers/a/Kconfig")

    assert dependencies(tree, "A") == ["X86", "MMU", "B || C"]


def test_blocks_that_ended_before_do_not_count(tree: Path) -> None:
    defined_in(tree, 'if PCI\nconfig B\n\tbool "b"\nendif\nmenuconfig A\n\tbool "a"\n')

    assert dependencies(tree, "A") == []
    assert dependencies(tree, "B") == ["PCI"]


def test_what_a_neighbour_depends_on_does_not_count(tree: Path) -> None:
    defined_in(
        tree,
        'menu "m"\n'
        'config B\n\tbool "b"\n\tdepends on X\n'
        'config A\n\tbool "a"\n'
        'comment "c"\n\tdepends on Y\n'
        'config C\n\tbool "c"\n\tdepends on Z\n'
        "endmenu\n",
    )

    assert dependencies(tree, "A") == []


def test_prose_in_a_help_text_is_no_statement(tree: Path) -> None:
    defined_in(
        tree,
        'config B\n\tbool "b"\n\thelp\n\t  What it does:\n\n\t  if unsure, say N.\n'
        "\t  menu items and choice of words\n"
        'config A\n\tbool "a"\n\thelp\n\t  This depends on\n\t  depends on luck\n\tdepends on C\n',
    )

    assert dependencies(tree, "A") == ["C"]


def test_only_x86_and_the_common_part_of_arch_count(tree: Path) -> None:
    defined_in(tree, "config ARM_ONLY\n\tbool\n", "arch/arm/Kconfig")
    defined_in(tree, "config X86_ONLY\n\tbool\n", "arch/x86/Kconfig.cpu")
    defined_in(tree, "config COMMON\n\tbool\n\tdepends on MMU\n", "arch/Kconfig")

    assert not is_defined(tree, "ARM_ONLY")
    assert is_defined(tree, "X86_ONLY")
    assert dependencies(tree, "COMMON") == ["MMU"]


def test_symbol_whose_name_is_part_of_another(tree: Path) -> None:
    defined_in(tree, "config PCI_MSI\n\tbool\n")

    assert not is_defined(tree, "PCI")


def test_symbols_that_select_another(tree: Path) -> None:
    defined_in(
        tree,
        'config B\n\tbool "b"\n\tselect A if X86\n\thelp\n\t  select A\n'
        'config C\n\tbool "c"\n\tselect AB\n\thelp\n\t  select A\n',
    )
    defined_in(tree, "config D\n\tbool\n\tselect A\n", "arch/Kconfig")

    assert selectors(tree, "A") == ["B", "D"]


def test_symbols_of_an_expression() -> None:
    expression = "(64BIT && !X86_32) || NET=m || A != y || $(success,true)"

    assert symbols_in(expression) == ["64BIT", "X86_32", "NET", "A"]
