"""Open conflicts as a page: each with its candidates, what is shown, what is live, and the command that takes each."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from prontosync.cli import html
from prontosync.cli.conflict_text import (
    counts_by_kind,
    differing_columns,
    key_text,
    marks,
    notes,
    row_cells,
    value_text,
)
from prontosync.cli.context import Context
from prontosync.cli.outcome import conflict_lines

if TYPE_CHECKING:
    from prontosync.history.conflicts import Choice, Conflict
    from prontosync.workflow.conflicts import OpenConflict

_HEADS = ("candidate", "from", "is", "to take it")


def conflicts_page(context: Context, rev: str, found: Sequence[OpenConflict]) -> Iterator[str]:
    """The page in pieces; ``rev`` is the revision as it was asked for."""
    total = (conflict_lines(len(found)) or ["no open conflicts"])[0]
    facts = [f"{total}. Until one is resolved, the live database keeps its own value."] if found else [total]
    return html.page(context, f"conflicts of {rev}", facts, _body(found), "kind")


def _body(found: Sequence[OpenConflict]) -> Iterator[str]:
    counts = counts_by_kind(found)
    for table, members in groupby(found, key=lambda one: one.conflict.table):
        name = html.text(table)
        kinds = ", ".join(f"{number:,} {html.text(kind)}" for (of, kind), number in counts.items() if of == table)
        yield f'<section data-table="{name}">\n<h2>{name}</h2>\n<p class="facts">{kinds}</p>\n'
        for one in members:
            yield "".join(_conflict(one))
        yield "</section>\n"


def _conflict(one: OpenConflict) -> Iterator[str]:
    conflict = one.conflict
    column = f', column <span class="key">{html.text(conflict.column)}</span>' if conflict.column is not None else ""
    kind, since = html.text(conflict.kind), html.text(conflict.since or "unknown")
    yield f'<article class="conflict" data-kind="{kind}">\n'
    yield f'<h3><span class="key">{html.text(key_text(conflict))}</span>{column}</h3>\n'
    yield f'<p class="facts"><span class="kind">{kind}</span> open since {since}, id {html.text(conflict.id)}</p>\n'
    heads = "".join(f'<th scope="col">{head}</th>' for head in _HEADS)
    yield f'<div class="scroll"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n'
    for choice in conflict.choices:
        yield _choice(one, choice)
    yield "</tbody>\n</table></div>\n"
    yield from (f"<p>{html.value(note)}</p>\n" for note in notes(one))
    yield "</article>\n"


def _choice(one: OpenConflict, choice: Choice) -> str:
    from prontosync.workflow.decide import words_for

    conflict = one.conflict
    origins = "<br>".join(
        f'{html.text(origin.branch or "unknown")} <span class="quiet">{html.text(origin.commit[:12] or "?")}</span>'
        for origin in choice.origins
    )
    badges = " ".join(f'<span class="badge">{word}</span>' for word in marks(one, choice))
    words = html.command(f"prontosync {shlex.join(words_for(conflict, choice))}")
    return f"<tr><td>{_candidate(conflict, choice)}</td><td>{origins}</td><td>{badges}</td><td>{words}</td></tr>\n"


def _candidate(conflict: Conflict, choice: Choice) -> str:
    values = [each.value for each in conflict.choices]
    if conflict.column is not None:
        return html.against(value_text(conflict, choice.value), [value_text(conflict, value) for value in values])
    if choice.value is None:
        return value_text(conflict, None)
    differing = differing_columns(conflict.schema, values)
    return " ".join(
        f'<div class="cell"><span class="name">{html.text(name)}</span> {_marked(html.value(text), name in differing)}'
        "</div>"
        for name, text in row_cells(conflict.schema, choice.value)
    )


def _marked(shown: str, differs: bool) -> str:
    return f"<mark>{shown}</mark>" if differs else shown
