"""The touched rows of a table between two states, as far as constraints ask for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from prontosync.engine.connection import Engine
from prontosync.history.holders import Place
from prontosync.model.changes import CHANGE, DELETE, INSERT, UPDATE
from prontosync.model.schema import TableSchema
from prontosync.model.values import Row, canonical
from prontosync.sources.contract import RowChanges, SourceTable
from prontosync.tables.compare import Delta, delta_schema, deltas_between
from prontosync.tables.reader import StoredTable

ROW = "_ps_row"
_REFUSED = "_ps_refused"


class Verdict(Protocol):
    """Of some rows those that their definition refuses."""

    @property
    def inserts(self) -> Mapping[int, str]:
        """By index in ``RowChanges.inserts``, in words why."""
        ...

    @property
    def updates(self) -> Mapping[int, str]:
        """By index in ``RowChanges.new``."""
        ...

    @property
    def untested(self) -> str | None:
        """Why nothing was tested, or None."""
        ...


class Trial(Protocol):
    """What a table's own definition says of rows (``sources.trial``)."""

    def concerns(self, table: SourceTable) -> bool:
        """Whether it may refuse any row at all."""
        ...

    def refused(self, changes: RowChanges) -> Verdict:
        """The inserts and updates that it refuses. Raises nothing for what they or the definition are."""
        ...


@dataclass(frozen=True)
class Touched:
    """Touched rows, numbered (``_ps_row``) in turn from ``first``; ``rows`` has their kind (``_ps_change``), and of the
    columns asked for, by their index in the schema, the old and the new values (``o<i>``, ``n<i>``).

    Updates that change none of the columns asked for are left out. ``refused`` are numbers of rows that the definition
    refuses, in words why; ``untested`` is why it was not asked, or None.
    """

    table: StoredTable
    first: int
    rows: pa.Table
    refused: Mapping[int, str]
    untested: str | None

    @property
    def end(self) -> int:
        return self.first + int(self.rows.num_rows)

    def coming(self, engine: Engine, place: Place) -> pa.Table:
        """What rows newly hold at a place: ``_ps_row``, ``v0``, …; none NULL."""
        return self._values(engine, place, "n", DELETE)

    def going(self, engine: Engine, place: Place) -> pa.Table:
        """The same of what rows held there before and hold no more."""
        return self._values(engine, place, "o", INSERT)

    def moved(self, engine: Engine, place: Place) -> pa.Table:
        """The keys (``k0``, …) of the rows in ``coming``, and of some that hold NULL there or are gone."""
        key = self._key()
        if not self.rows.num_rows:
            return engine.table(f"SELECT {key} FROM _ps_t", _ps_t=self.rows)
        return engine.table(f"SELECT {key} FROM _ps_t WHERE {place.moved()}", _ps_t=self.rows)

    def key(self, row: int) -> Row:
        """The key of a row, canonical."""
        found = self.rows.slice(row - self.first, 1)
        indexes = [self.table.schema.names.index(name) for name in self.table.schema.key]
        both = [(found.column(f"n{i}")[0].as_py(), found.column(f"o{i}")[0].as_py()) for i in indexes]
        return tuple(canonical(old if new is None else new) for new, old in both)

    def values(self, row: int, side: str, columns: Sequence[str]) -> Row:
        """Values of a row's columns, its old (``o``) or new (``n``) ones."""
        found = self.rows.slice(row - self.first, 1)
        return tuple(found.column(f"{side}{self.table.schema.names.index(n)}")[0].as_py() for n in columns)

    def _values(self, engine: Engine, place: Place, side: str, without: str) -> pa.Table:
        return engine.table(
            f"SELECT {ROW}, {place.formed(side)} FROM _ps_t"
            f" WHERE {CHANGE} <> '{without}' AND {place.moved()} AND {place.given(side)}",
            _ps_t=self.rows,
        )

    def _key(self) -> str:
        indexes = [self.table.schema.names.index(name) for name in self.table.schema.key]
        return ", ".join(f"coalesce(n{i}, o{i}) AS k{n}" for n, i in enumerate(indexes))


def touched(
    engine: Engine, before: StoredTable, after: StoredTable, asked: frozenset[str], trial: Trial, first: int
) -> Touched:
    """The rows that differ, their columns ``asked`` and the key. Where nothing is asked and ``trial`` is not concerned,
    no row is read."""
    schema = after.schema
    source = SourceTable(after.name, schema, after.ddl)
    concerned = trial.concerns(source)
    names = [name for name in schema.names if name in asked or name in schema.key]
    pieces = [
        _projected(schema, names, delta_schema(schema).empty_table().append_column(_REFUSED, pa.array([], pa.string())))
    ]
    untested: str | None = None
    for delta in deltas_between(before, after) if asked or concerned else ():
        words, why = _words(trial, source, delta.in_columns(schema)) if concerned else (None, None)
        untested = untested or why
        pieces.append(_kept(engine, delta.in_columns(schema), names, asked, words))
    rows = pa.concat_tables(pieces)
    numbered = rows.drop_columns([_REFUSED]).append_column(ROW, pa.arange(first, first + rows.num_rows))
    return Touched(after, first, numbered, _numbers(rows.column(_REFUSED), first), untested)


def _numbers(words: pa.ChunkedArray, first: int) -> dict[int, str]:
    at = pa.compute.indices_nonzero(pa.compute.is_valid(words))
    return dict(zip((first + n for n in at.to_pylist()), words.take(at).to_pylist(), strict=True))


def _projected(schema: TableSchema, names: Sequence[str], rows: pa.Table) -> pa.Table:
    indexes = [schema.names.index(name) for name in names]
    return rows.select([CHANGE, *(f"{side}{i}" for i in indexes for side in "on"), _REFUSED])


def _kept(
    engine: Engine, delta: Delta, names: Sequence[str], asked: frozenset[str], words: pa.Array | None
) -> pa.Table:
    refused = pa.nulls(delta.table.num_rows, pa.string()) if words is None else words
    rows = _projected(delta.schema, names, delta.table.append_column(_REFUSED, refused))
    differ = [f"o{delta.schema.names.index(n)} IS DISTINCT FROM n{delta.schema.names.index(n)}" for n in sorted(asked)]
    if not differ:
        return rows.filter(pa.compute.is_valid(rows.column(_REFUSED)))
    mask = engine.table(
        f"SELECT {CHANGE} <> '{UPDATE}' OR {_REFUSED} IS NOT NULL OR {' OR '.join(differ)} AS m FROM _ps_d", _ps_d=rows
    )
    return rows.filter(mask.column("m"))


def _words(trial: Trial, source: SourceTable, delta: Delta) -> tuple[pa.Array, str | None]:
    """For each row why it is refused, NULL where it is not."""
    inserts, updates = delta.of_kind(INSERT), delta.of_kind(UPDATE)
    none = inserts.old().slice(0, 0)
    verdict = trial.refused(RowChanges(source, none, inserts.new(), updates.old(), updates.new()))
    words: list[str | None] = [None] * delta.table.num_rows
    for kind, found in ((INSERT, verdict.inserts), (UPDATE, verdict.updates)):
        if found:
            places = pa.compute.indices_nonzero(pa.compute.equal(delta.table.column(CHANGE), kind))
            for index, why in found.items():
                words[places[index].as_py()] = why
    return pa.array(words, pa.string()), verdict.untested
