"""Text that nobody has vetted cannot get out of the place on the page that it was given."""

import pytest

from host.markdown import LIMIT, code_block, plain, table


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p2pmem_pci of d00d0001, 1 x 4k", "p2pmem_pci of d00d0001, 1 x 4k"),
        ("6.12", "6.12"),
        ("a | b\n| c |", "a &#124; b &#124; c &#124;"),
        ("`code`", "&#96;code&#96;"),
        ("<img src=x> &amp;", "&lt;img src=x&gt; &amp;amp;"),
        ("*bold* _it_ ~~no~~ $x$", r"\*bold\* \_it\_ \~\~no\~\~ \$x\$"),
        ("[link](there) \\", r"\[link\](there) \\"),
        ("@somebody", "&#64;somebody"),
        ("# heading", r"\# heading"),
        ("- item", r"\- item"),
        ("+ item", r"\+ item"),
        ("=====", r"\====="),
        ("1. item", r"1\. item"),
        ("12) item", r"12\) item"),
        ("> quote", "&gt; quote"),
        ("\x1b[31mred\x00\udcff\u202e", "�\\[31mred���"),
        ("  \r\n\t", ""),
    ],
)
def test_plain(text: str, expected: str) -> None:
    assert plain(text) == expected


def test_a_long_text_is_cut_and_no_entity_with_it() -> None:
    assert plain("<" * (LIMIT + 1)) == "&lt;" * LIMIT + "…"
    assert plain("<" * LIMIT) == "&lt;" * LIMIT


def test_a_block_of_code_is_ended_by_nothing_in_it() -> None:
    lines = code_block(["``` `````", "~~~", "tab\there \x1b[0m\r"])

    assert lines == ["``````text", "``` `````", "~~~", "tab     here �[0m", "``````"]
    assert code_block([]) == ["```text", "```"]


def test_table() -> None:
    assert table(("a", "b"), [["1", "2"]]) == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]
