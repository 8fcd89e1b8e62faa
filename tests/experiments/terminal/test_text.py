"""What was not made here does nothing where it is shown."""

from __future__ import annotations

import html
import json
import re
import unicodedata

import pytest
from fuzzing import SHORT
from hypothesis import given
from hypothesis import strategies as st

from nondiff.text import code, json_text, markdown, visible

BAD = st.text(
    st.sampled_from(
        "\x1b\x07\x7f\x9b\n\r\t\u202e\u2066\u200b\ufeff\udcff\u2028`|<>[]()!*_#&a b/:w."
    )
    | st.characters()
)
CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)


@SHORT
@given(BAD)
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    shown = visible(text)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    shown.encode()  # as no half of a pair is left
    assert all(c in shown for c in text if c.isprintable())


def test_a_printable_text_is_left() -> None:
    for text in ("nondiff/PandaReach-v0", "größer als 日本", "", "[red]"):
        assert visible(text) == text
    assert visible("a\x1b[31mb\u202ec\nd") == "a\\x1b[31mb\\u202ec\\nd"
    assert visible("a\nb\x07", keep="\n") == "a\nb\\x07"


@SHORT
@given(BAD)
def test_markdown_is_a_plain_name_or_code(text: str) -> None:
    for written in (markdown(text), code(text)):
        assert "\n" not in written
        found = CODE.fullmatch(written)
        if found is None:
            assert not set(written) & set("`|<>[]!*#&\\~$@")
            assert "//" not in written
        else:
            assert found[2].strip(" ") == visible(text).strip(" ")


@pytest.mark.parametrize("text", ["a|b", "`|`", "<img src=x onerror=alert(1)>|"])
def test_a_cell_of_a_table_stays_one(text: str) -> None:
    assert not re.search(r"(?<!\\)\|", markdown(text, cell=True))
    assert html.escape(text) != text or "`" in text or "`" in markdown(text)


@SHORT
@given(BAD)
def test_json_is_printable_and_the_same(text: str) -> None:
    written = json_text({text: [text]})
    assert visible(written, keep="\n") == written
    assert json.loads(written) == {text: [text]}
