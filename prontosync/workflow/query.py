"""Query: SQL over the tables of one revision, several others attached, read-only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from prontosync.disk.objects import OverlayObjectStore
from prontosync.engine.connection import Engine, quoted
from prontosync.errors import UsageError
from prontosync.model.progress import Progress, told_as
from prontosync.query.chunks import csv_chunks, parquet_chunks
from prontosync.query.columns import portable
from prontosync.query.views import CONFLICTS, MAIN, TAKEN, Views
from prontosync.workflow.session import Session
from prontosync.workflow.states import State, states

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
def asked(session: Session, query: str, at: str, attached: Mapping[str, str]) -> Iterator[Answer]:
    """Ask one SELECT. ``attached`` are revisions by schema name. Raises QueryError (2) for anything else."""
    _check_names(attached)
    with states(session, [at, *attached.values()]) as (main, *others), _engine(session, [main, *others]) as engine:
        engine.check_select(query)
        views = Views(engine, query)
        with session.progress.task("checking the files of tables", None, "tables"):
            views.attach(MAIN, main.tree, main.store)
            for name, state in zip(attached, others, strict=True):
                views.attach(name, state.tree, state.store)
            views.conflicts(main.tree, main.store)
        text = _bare(query)
        columns = engine.columns(text)
        yield Answer(_distinct([name for name, _ in columns]), engine, text, columns, session.progress)


def _engine(session: Session, found: list[State]) -> Engine:
    """One that may read the objects of these states and nothing else."""
    live = [state.store.upper.top / "objects" for state in found if isinstance(state.store, OverlayObjectStore)]
    return Engine([session.repo.inner / "objects", *live], session.repo.tmp, memory=MEMORY)


def _check_names(attached: Mapping[str, str]) -> None:
    for name in attached:
        if name.lower() in TAKEN or not name or "\0" in name:
            raise BadAttachment(
                f'a revision cannot be attached as "{name}"', f"{MAIN} and {CONFLICTS} are taken: choose another"
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
