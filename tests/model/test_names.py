"""Names of refs, stores and remotes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prontosync.model.names import BadName, ref_name, simple_name, store_name

GOOD = ("main", "stores/012", "tags/v1.0", "x", "x" * 200, "x-b_c.d/e")
BAD = (
    "", "/", "a/", "/a", "a//b", "..", "a/../b", ".a", "a.", "a./b", "-a", "A", "é", "a b", "a\n", "a\0", "con",
    "a/nul.txt", "lpt1", "com9.x", "abc", "12", "dead", "x" * 201, "@", "a/@/b", "a@", "a..b", "~", "a*",
    "\ud800", "main\u202e",
)  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_good(text: str) -> None:
    assert ref_name(text) == text


@pytest.mark.parametrize("text", BAD)
def test_bad(text: str) -> None:
    with pytest.raises(BadName) as caught:
        ref_name(text)
    assert caught.value.exit == 2


def test_a_remotes_name_comes_first_in_no_ref() -> None:
    assert ref_name("main", ["hub"]) == "main"
    with pytest.raises(BadName, match="is a remote"):
        ref_name("hub/main", ["hub"])


def test_stores_may_be_numbers() -> None:
    assert store_name("012") == "012"
    for text in ("0/1", "", "..", "x" * 194, "CON", "con", "-1"):
        with pytest.raises(BadName):
            store_name(text)


def test_one_component() -> None:
    assert simple_name("hub", "remote") == "hub"
    for text in ("a/b", "", "beef", "Hub"):
        with pytest.raises(BadName):
            simple_name(text, "remote")


@given(text=st.text())
def test_any_text_is_a_name_or_refused(text: str) -> None:
    for check in (ref_name, store_name, lambda t: simple_name(t, "remote")):
        try:
            name = check(text)
        except BadName:
            continue
        assert name == text
        assert ".." not in name
        assert not name.startswith(("/", "-", "."))
