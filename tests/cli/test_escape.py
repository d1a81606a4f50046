from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prontosync.cli.escape import escape, escape_json, escape_lines
from prontosync.cli.output import encode_json

BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
ANY_TEXT = st.text(st.characters(exclude_categories=()))
NASTY = st.text(
    st.sampled_from("\x00\x07\x1b[31m\x7f\x9b\x9d\r\n\t\u200b\u200e\u202e\u2066\u2069\ufeff\u2028\udc80é李\U000e0041")
)


def is_hostile(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} or (
        unicodedata.bidirectional(character) in BIDI
    )


# Format characters that are part of writing (Arabic number signs and the like) and steer nothing.
HARMLESS_FORMAT = {chr(c) for c in (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD)} | {
    chr(c) for c in range(0x13430, 0x13440)
}


@given(ANY_TEXT | NASTY)
def test_nothing_that_steers_a_terminal_comes_out(text: str) -> None:
    assert not [c for c in escape(text) if is_hostile(c) and c not in HARMLESS_FORMAT]


@given(ANY_TEXT | NASTY)
def test_lines_keep_only_their_breaks(text: str) -> None:
    assert escape_lines(text).replace("\n", "\\n") == escape(text)


@given(st.dictionaries(NASTY, NASTY | ANY_TEXT.filter(str.isprintable)))
def test_json_means_the_same_and_steers_nothing(value: dict[str, str]) -> None:
    document = encode_json(value)
    assert json.loads(document) == value
    assert not [c for c in document if is_hostile(c)]


def test_json_beyond_the_basic_plane() -> None:
    assert escape_json('"\U000e0041"') == '"\\udb40\\udc41"'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\u202eb", "a\\u202eb"),
        ("two\nlines\tand\r", "two\\nlines\\tand\\r"),
        ("\x9b31m", "\\x9b31m"),
        ("caf\u200bé 李 😀", "caf\\u200bé 李 😀"),
        ("\udc80", "\\udc80"),
        ("\U000e0041", "\\U000e0041"),
        ("C:\\new", "C:\\new"),
    ],
)
def test_examples(text: str, shown: str) -> None:
    assert escape(text) == shown
