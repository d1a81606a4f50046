"""The pages: nothing foreign in them is anything but text, nothing outside is asked for, and the rows are there."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import pytest

from prontosync.cli import html
from tests.fixtures.chain import SHARED_KEY, Chain
from tests.fixtures.program import run_program
from tests.fixtures.store import Store, store_of
from tests.project.code import PACKAGE

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</td></table></script></style><h1>",
    "' onmouseover='alert(1)",
    "&lt;&#x41;",
    "\x1b[31m\u202e\x00",
    "]]>--><!--",
)
_ELEMENTS = """
    html head meta title style body header h1 h2 h3 main form label span select fieldset legend input p section ul li b
    a article div table thead tbody tr th td del ins mark code details summary footer script br
"""
ELEMENTS = frozenset(_ELEMENTS.split())
VOID = frozenset({"meta", "input", "br"})


class Page(HTMLParser):
    """A page taken apart. Fails at what no page of ours holds: other elements, handlers, styles, outside addresses."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.text: dict[str, list[str]] = {}
        self.kinds: list[str] = []
        self.tables: list[str] = []
        self.commands: list[str] = []
        self.meta: dict[str, str] = {}
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ELEMENTS, tag
        found = dict(attrs)
        assert not [name for name in found if name.startswith("on") or name in {"style", "src", "action"}], attrs
        assert re.fullmatch(r"#[\w-]+|[\w%.,=@+() ~-]+\.html", found.get("href") or "#x"), found
        if tag == "meta" and "http-equiv" in found:
            self.meta[str(found["http-equiv"])] = str(found["content"])
        if "data-kind" in found:
            self.kinds.append(str(found["data-kind"]))
        if "data-table" in found:
            self.tables.append(str(found["data-table"]))
        if found.get("class") == "command":
            self.commands.append("")
        if tag not in VOID:
            self.open.append(tag)
        self.text.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.text[tag][-1] += data
        if self.open and self.open[-1] == "code":
            self.commands[-1] += data

    def check_policy(self) -> None:
        """Only the style and the script that are in the page may be used, and each is there once."""
        policy = self.meta["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        for tag in ("style", "script"):
            (source,) = self.text[tag]
            digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy


def _page(source: str) -> Page:
    page = Page(source)
    page.check_policy()
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", source)
    return page


@pytest.fixture
def hostile(tmp_path: Path) -> Store:
    """A table and a column of a hostile name, full of hostile texts, changed since the first snapshot."""
    name = '"' + "</script><b x='1'>".replace('"', '""') + '"'
    store = store_of(
        tmp_path / "s",
        f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, {name} TEXT)",
        "CREATE TABLE 'index' (code TEXT PRIMARY KEY)",
    )
    for number, text in enumerate(HOSTILE):
        store.till(f"INSERT INTO {name} VALUES (?, ?)", (number, text))
    store.run("snapshot")
    store.till(f"UPDATE {name} SET {name} = {name} || ? WHERE id < 5", ("x" * 30_000,))
    store.till(f"DELETE FROM {name} WHERE id = 5")
    for text in HOSTILE:
        store.till("INSERT INTO 'index' VALUES (?)", (text,))
    return store


def test_a_diff_is_text_and_nothing_else(hostile: Store) -> None:
    page = _page(hostile.text("diff", "--format", "html"))
    assert page.tables == ["</script><b x='1'>", "index"]
    assert page.kinds == ["updated"] * 5 + ["deleted"] + ["inserted"] * len(HOSTILE)
    assert all(any(text in shown for shown in page.text["td"] + page.text["th"]) for text in HOSTILE[:5])
    assert any("\\x1b[31m\\u202e" in shown for shown in page.text["del"])
    assert any("the first 20,000 of 30,025 characters" in shown for shown in page.text["details"])


def test_a_page_a_table_and_an_index(hostile: Store) -> None:
    hostile.run("diff", "--format", "html", "-o", "pages/")
    pages = {path.name: _page(path.read_text()) for path in (hostile.top / "pages").iterdir()}
    assert len(pages) == 3
    assert pages["%69ndex.html"].tables == ["index"]
    assert pages["index.html"].tables == []
    assert pages["index.html"].text["a"] == ["</script><b x='1'>", "index"]
    hostile.fails("diff", "--format", "html", "--stat", "-o", "pages/", exit=2)


def test_old_and_new_by_cell_and_the_counts(store: Store) -> None:
    page = _page(store.text("diff", "HEAD~1", "HEAD", "--format", "html"))
    assert page.text["h1"] == ["diff HEAD~1 → HEAD"]
    assert page.text["del"][:3] == ["449.50"] * 3
    assert page.text["ins"][:3] == ["450.50"] * 3
    assert "Última" in page.text["ins"]
    assert page.text["a"] == ["product", "style", "ticket_line"]
    assert _page(store.text("diff", "HEAD~1", "HEAD", "--format", "html", "--stat")).kinds == []
    assert "Nothing differs." in store.text("diff", "HEAD", "HEAD", "--format", "html")
    store.run("diff", "HEAD~1", "HEAD", "--format", "html", "--exit-code", exit=1)


def test_of_many_rows_the_first_and_the_command_that_gives_all(tmp_path: Path) -> None:
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10050) "
    store = store_of(tmp_path / "s", 'CREATE TABLE "a b" (id INTEGER PRIMARY KEY)')
    store.run("snapshot")
    store.till(f'INSERT INTO "a b" {many} SELECT i FROM n')
    page = _page(store.text("diff", "--format", "html"))
    assert page.kinds == ["inserted"] * 10_000
    (command,) = page.commands
    store.run(*shlex.split(command)[1:])
    assert (store.top / "rows.csv").read_text().count("\n") == 10_051


def test_conflicts_with_their_candidates_and_commands(chain: Chain) -> None:
    for store, text in zip(("012", "007"), HOSTILE[:2], strict=True):
        chain.sql(f"store-{store}", "UPDATE customer SET phone = ? WHERE customer_id = ?", (text, SHARED_KEY))
        chain.sync(f"store-{store}")
    chain.sync("office")
    chain.sync("store-012")
    place = chain.top / "store-012"
    assert chain.run("store-012", "conflicts", "--format", "html", "-o", str(place / "c.html")).stdout == ""
    page = _page((place / "c.html").read_text())
    assert (page.tables, page.kinds) == (["customer"], ["cell"])
    [conflict] = json.loads(chain.run("store-012", "conflicts", "--json").stdout)
    said = page.text["article"][0]
    for word in (*HOSTILE[:2], SHARED_KEY, "phone", "stores/012", "stores/007", conflict["since"], conflict["id"]):
        assert word in said
    assert (said.count("shown"), said.count("live")) == (1, 1)
    assert len(page.commands) == 2
    assert run_program(*shlex.split(page.commands[0])[1:], cwd=place).returncode == 0
    assert chain.run("store-012", "conflicts", "--format", "html", "-o", f"{place}/c/").returncode == 2
    assert "no open conflicts" in _page(chain.run("store-012", "conflicts", "--format", "html").stdout).text["p"]


def test_values_are_folded_marked_and_cut() -> None:
    assert html.value("<") == '<span class="value">&lt;</span>'
    folded = html.value("a" * 200)
    assert folded.startswith("<details><summary")
    assert "a" * 200 in folded
    assert "<mark>1</mark>" in html.change("x" * 30 + "1" + "y" * 30, "x" * 30 + "2" + "y" * 30)
    assert "<mark>" not in html.change("449.50", "450.50")
    assert html.change("same text that is long enough", "same text that is long enough").count("<mark>") == 0
    assert html.change("q" * 300, "q" * 300).count("q" * 300) == 2


def _light(colour: str) -> float:
    """Relative luminance, as WCAG has it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_everything_can_be_read_in_both_schemes(scheme: int) -> None:
    style = (PACKAGE / "cli/assets/page.css").read_text(encoding="utf-8")
    root = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", root))
    pairs = [("text", "page"), ("text", "panel"), ("quiet", "page"), ("quiet", "panel"), ("text", "badge")]
    pairs += [("old", "old-page"), ("new", "new-page"), ("mark-text", "mark"), ("link", "page")]
    for front, back in pairs:
        low, high = sorted((_light(colours[front]), _light(colours[back])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (front, back)
