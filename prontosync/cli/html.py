"""Pages that stand alone: one file, no network, readable without its script; what is foreign in it is only text.

The policy in a page's head allows nothing but the one style and the one script that came with it, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources

from prontosync import __version__
from prontosync.cli.context import Context
from prontosync.cli.escape import escape
from prontosync.cli.fit import cut, cut_around, shared_start

SHORT = 160
"""Characters up to which a value stands open; a longer one is unfolded with a click."""
LONGEST = 20_000
"""Characters of a value that a page holds at most."""
_MARKED = 24
"""Characters from which the place where two values differ is marked in them."""


def text(foreign: object) -> str:
    """Any text as HTML that shows it, in elements and in quoted attributes; what is invisible is shown as on a
    terminal."""
    return html.escape(escape(str(foreign)), quote=True)


def page(context: Context, title: str, facts: Iterable[str], body: Iterable[str], kinds: str) -> Iterator[str]:
    """The page in pieces. ``facts`` and ``body`` are HTML; ``kinds`` names what the filter of kinds is about, in plain
    words. What is filtered are elements with ``data-kind`` in a ``section`` with ``data-table``."""
    style, script = _asset("page.css"), _asset("page.js")
    policy = f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'"
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}; form-action \'none\'">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{text(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f"<header>\n<h1>{text(title)}</h1>\n"
    )
    yield from (f'<p class="facts">{fact}</p>\n' for fact in facts)
    yield f"</header>\n<main>\n{_filters(kinds)}"
    yield from body
    now = context.clock().isoformat(timespec="seconds").replace("+00:00", "Z")
    made = f"Made by prontosync {text(__version__)} at {text(now)}."
    yield f'</main>\n<footer><p class="quiet">{made}</p></footer>\n<script>{script}</script>\n</body>\n</html>\n'


def command(words: str) -> str:
    """What to type, ready to be copied."""
    return f'<code class="command">{text(words)}</code>'


def value(whole: str, *, marked: str | None = None) -> str:
    """A value, whose text has passed ``escape``: whole, or unfolded with a click. ``marked`` is the same as HTML."""
    if len(whole) <= SHORT:
        return f'<span class="value">{marked or text(whole)}</span>'
    return _unfolded(cut(whole, SHORT), whole, marked)


def change(old: str, new: str) -> str:
    """Old → new, with the place where they differ in long ones."""
    old_marked, new_marked = _marks(old, new)
    if len(old) <= SHORT and len(new) <= SHORT:
        before, after = value(old, marked=old_marked), value(new, marked=new_marked)
    else:
        short_old, short_new = cut_around(old, new, SHORT)
        before, after = _unfolded(short_old, old, old_marked), _unfolded(short_new, new, new_marked)
    return f"<del>{before}</del> → <ins>{after}</ins>"


def against(one: str, others: Iterable[str]) -> str:
    """A value among several, with the place marked where it differs from the first other one."""
    other = next((each for each in others if each != one), None)
    if other is None:
        return value(one)
    marked = _marks(one, other)[0]
    return value(one, marked=marked) if len(one) <= SHORT else _unfolded(cut_around(one, other, SHORT)[0], one, marked)


def _unfolded(short: str, whole: str, marked: str | None) -> str:
    if short == whole:
        return f'<span class="value">{marked or text(whole)}</span>'
    note = ""
    if len(whole) > LONGEST:
        note = f' <span class="quiet">the first {LONGEST:,} of {len(whole):,} characters</span>'
        marked, whole = None, whole[:LONGEST]
    return (
        f'<details><summary class="value">{text(short)}</summary>'
        f'<span class="value">{marked or text(whole)}</span>{note}</details>'
    )


def _marks(old: str, new: str) -> tuple[str | None, str | None]:
    """Both as HTML with the part marked in which they differ; None where that would say nothing."""
    if min(len(old), len(new)) < _MARKED or max(len(old), len(new)) > LONGEST:
        return None, None
    start = shared_start(old, new)
    end = min(shared_start(old[::-1], new[::-1]), len(old) - start, len(new) - start)
    if not start and not end:
        return None, None
    return _marked(old, start, len(old) - end), _marked(new, start, len(new) - end)


def _marked(whole: str, start: int, end: int) -> str:
    mark = f"<mark>{text(whole[start:end])}</mark>" if end > start else ""
    return f"{text(whole[:start])}{mark}{text(whole[end:])}"


def _filters(kinds: str) -> str:
    """Hidden until the script, without which they would do nothing, shows them."""
    return (
        '<form id="filters" role="search" aria-label="Filters" hidden>\n'
        '<label><span>table</span><select id="by-table"></select></label>\n'
        f'<fieldset id="by-kind"><legend>{text(kinds)}</legend></fieldset>\n'
        '<label><span>text</span><input type="search" id="by-text" autocomplete="off"></label>\n'
        '<p id="count" class="quiet" role="status"></p>\n</form>\n'
    )


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


@cache
def _asset(name: str) -> str:
    return resources.files("prontosync.cli").joinpath("assets", name).read_text(encoding="utf-8")
