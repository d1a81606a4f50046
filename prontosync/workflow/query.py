"""Query: SQL over the tables of one revision, several others attached, read-only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from prontosync.disk.objects import OverlayObjectStore
from prontosync.engine.connection import Engine, quoted
from prontosync.errors import NotFound, UsageError
from prontosync.history.commits import EMPTY
from prontosync.history.revisions import HEAD, moment_in
from prontosync.model.progress import Progress, told_as
from prontosync.query.chunks import csv_chunks, parquet_chunks
from prontosync.query.columns import portable
from prontosync.query.united import Part, United
from prontosync.query.views import ALL, CONFLICTS, MAIN, TAKEN, Views
from prontosync.tables.reader import StoredTable
from prontosync.workflow.session import Session
from prontosync.workflow.states import State, resolve, states
from prontosync.workflow.stores import at_moment, every_store, stores_matching

_NAMES_ALL = re.compile(rf'\b{ALL}"?\s*\.', re.IGNORECASE)
BATCH_ROWS = 5_000
MEMORY = "1GB"


class BadAttachment(UsageError):
    id = "bad-attachment"


@dataclass(frozen=True)
class Answer:
    """What a query gives, while the context that made it lasts: the columns' names, and the rows, once, in one form."""

    names: tuple[str, ...]
    _engine: Engine
    _query: str
    _columns: list[tuple[str, str]]
    _progress: Progress

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Values as JSON takes them: dates and times as text, bytes as bytes."""
        whole = [i for i, (_, kind) in enumerate(self._columns) if kind in ("HUGEINT", "UHUGEINT")]
        for batch in self._batches(portable(self._columns, blobs=True)):
            columns = [column.to_pylist() for column in batch.columns]
            for i in whole:
                columns[i] = [int(value) if isinstance(value, Decimal) else value for value in columns[i]]
            yield from zip(*columns, strict=True)

    def records(self) -> Iterator[dict[str, Any]]:
        """The rows as objects."""
        return (dict(zip(self.names, row, strict=True)) for row in self.rows())

    def csv(self) -> Iterator[bytes]:
        return csv_chunks(self.names, self._batches(portable(self._columns, blobs=False)))

    def parquet(self) -> Iterator[bytes]:
        names = ", ".join(f"c{i} AS {quoted(name)}" for i, name in enumerate(self.names))
        schema = self._engine.table(f"SELECT {names} FROM ({self._query}) AS _ps_q({self._positions()}) LIMIT 0").schema
        return parquet_chunks(schema, self._batches(names))

    def _batches(self, projection: str) -> Iterator[Any]:
        query = f"SELECT {projection} FROM ({self._query}) AS _ps_q({self._positions()})"
        return told_as(self._engine.reader(query, BATCH_ROWS), "asking", None, self._progress)

    def _positions(self) -> str:
        return ", ".join(f"c{i}" for i in range(len(self._columns)))


@contextmanager
def asked(
    session: Session, query: str, at: str, attached: Mapping[str, str], branches: Sequence[str] = ()
) -> Iterator[Answer]:
    """Ask one SELECT. ``attached`` are revisions by schema name; ``branches`` are patterns of those that ``all.TABLE``
    unites. Raises QueryError (2) for anything else, NoStores (17)."""
    _check_names(attached)
    united = bool(branches) or _NAMES_ALL.search(query) is not None
    with (
        _states(session, [at, *attached.values()], united) as (main, *others),
        _engine(session, [main, *others]) as engine,
    ):
        text = engine.with_schema(query, ALL) if united else query
        engine.check_select(text)
        views = Views(engine, query)
        with session.progress.task("checking the files of tables", None, "tables"):
            views.attach(MAIN, main.tree, main.store)
            for name, state in zip(attached, others, strict=True):
                views.attach(name, state.tree, state.store)
            views.conflicts(main.tree, main.store)
            if united:
                _unite(session, views, at, branches)
        text = _bare(text)
        columns = engine.columns(text)
        yield Answer(_distinct([name for name, _ in columns]), engine, text, columns, session.progress)


@contextmanager
def _states(session: Session, revs: Sequence[str], united: bool) -> Iterator[list[State]]:
    """The states that revisions name. Beside all stores as one, a first one that is HEAD, or HEAD at a moment, may have
    no commit: then it has no tables."""
    if united and (revs[0] == HEAD or moment_in(revs[0])):
        try:
            resolve(session, revs[0])
        except NotFound as error:
            session.world.note(f"{error.message}: only all.TABLE has rows")
            nothing = State(revs[0], EMPTY, session.repo.objects, None)
            with states(session, revs[1:]) as others:
                yield [nothing, *others]
            return
    with states(session, revs) as found:
        yield found


def _unite(session: Session, views: Views, at: str, branches: Sequence[str]) -> None:
    """The views ``all.TABLE``: the tables of all stores, where ``at`` is a moment as they were then."""
    stores = stores_matching(session, branches) if branches else every_store(session)
    if (when := moment_in(at)) is not None:
        stores = at_moment(session, stores, when)
    objects = session.repo.objects
    tables: dict[str, list[Part]] = {}
    for one in stores:
        for name, state in session.commits.tree(one.commit).tables.items():
            tables.setdefault(name, []).append(Part(one.store, StoredTable(objects, session.engine, name, state)))
    United(views, objects).attach(tables)


def _engine(session: Session, found: list[State]) -> Engine:
    """One that may read the objects of these states and nothing else."""
    live = [state.store.upper.top / "objects" for state in found if isinstance(state.store, OverlayObjectStore)]
    return Engine([session.repo.inner / "objects", *live], session.repo.tmp, memory=MEMORY)


def _check_names(attached: Mapping[str, str]) -> None:
    for name in attached:
        if name.lower() in TAKEN or not name or "\0" in name:
            raise BadAttachment(
                f'a revision cannot be attached as "{name}"', f"{MAIN}, {CONFLICTS} and {ALL} are taken: choose another"
            )


def _bare(query: str) -> str:
    """The query so that it can stand in parentheses: a line break ends a comment, a semicolon at its end is dropped."""
    text = query.strip()
    while text.endswith(";"):
        text = text[:-1].rstrip()
    return text + "\n"


def _distinct(names: list[str]) -> tuple[str, ...]:
    """Names made different where a query gives one twice."""
    found: list[str] = []
    for name in names:
        number, fresh = 1, name
        while fresh in found:
            fresh, number = f"{name}_{number}", number + 1
        found.append(fresh)
    return tuple(found)
