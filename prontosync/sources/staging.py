"""The rows of an apply in temporary tables without declared types, and the SQL that matches them with live rows.

For the i-th written column a temporary table holds ``c<i>``; its rowids count the rows from 1. ``old`` and ``new``
stand row by row, and ``mask`` tells which set of columns differs between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from prontosync.model.objects import Changes
from prontosync.model.progress import UNTOLD, Task
from prontosync.sources.bindings import RowBinder, key_text
from prontosync.sources.catalog import LiveTable
from prontosync.sources.connection import Connection
from prontosync.sources.contract import RefusedRow, RowChanges, SourceTable
from prontosync.sources.statements import chain, quoted

Kind = Literal["deletes", "inserts", "old", "new"]
KINDS: tuple[Kind, ...] = ("deletes", "inserts", "old", "new")


@dataclass(frozen=True)
class Loaded:
    """One table's changes in temporary tables. ``masks`` holds the columns of each mask; one may be empty, for rows in
    which nothing differs. ``counts`` are the rows of each kind, ``changes`` those of all tables as they were given."""

    number: int
    table: SourceTable
    binder: RowBinder
    masks: tuple[tuple[str, ...], ...]
    counts: Mapping[Kind, int]
    changes: Iterable[RowChanges]

    @property
    def changed(self) -> Changes:
        return Changes(self.counts["inserts"], self.counts["new"], self.counts["deletes"])


@dataclass(frozen=True)
class Staged:
    """The same beside the live table."""

    loaded: Loaded
    live: LiveTable

    @property
    def name(self) -> str:
        return self.live.name

    @property
    def main(self) -> str:
        return f"main.{quoted(self.name)}"

    @property
    def masks(self) -> tuple[tuple[str, ...], ...]:
        return self.loaded.masks

    def count(self, kind: Kind) -> int:
        return self.loaded.counts[kind]

    def temp(self, kind: Kind) -> str:
        return _temp(kind, self.loaded.number)

    def key_text(self, kind: Kind, rowid: int) -> str:
        """The key of a staged row, for a message."""
        rows, at = self._find(kind, rowid)
        return key_text(rows, at, self.loaded.table.schema)

    def refused(self, kind: Kind, rowid: int) -> RefusedRow:
        """A staged row, for an error."""
        rows, at = self._find(kind, rowid)
        key = self.loaded.table.schema.key
        row = rows.select(list(key)).slice(at, 1).to_pylist()[0]
        return RefusedRow(self.name, tuple(row[name] for name in key))

    def _find(self, kind: Kind, rowid: int) -> tuple[pa.Table, int]:
        """A staged row: the changes are gone through again for it."""
        at = rowid - 1
        for piece in self.loaded.changes:
            if piece.table.name == self.name:
                rows = _rows(piece, kind)
                if at < rows.num_rows:
                    return rows, at
                at -= rows.num_rows
        raise IndexError(rowid)

    def touching(self, columns: Iterable[str], alias: str) -> str:
        """Whether the update of a row of ``new`` or ``old`` sets one of ``columns``."""
        wanted = set(columns)
        numbers = [str(n) for n, mask in enumerate(self.masks) if wanted & set(mask)]
        return f"{alias}.mask IN ({', '.join(numbers)})"

    def touches(self, columns: Iterable[str]) -> bool:
        wanted = set(columns)
        return any(wanted & set(mask) for mask in self.masks)

    def staged(self, name: str) -> str:
        """The temporary tables' name for a written column."""
        return f"c{self._positions[name]}"

    def matches(self, live: str, staged: str) -> str:
        """Whether a live row has the key of a staged one; finds the live row by its index."""
        by_index = [f"{live}.{quoted(name)} = {staged}.{self.staged(name)}" for name in self._key]
        return f"{' AND '.join(by_index)} AND {self.same(live, staged, self._key)}"

    def is_staged(self, kind: Kind, live: str, condition: str = "1") -> str:
        """Whether a live row's key is among the staged; finds the staged row by its index."""
        keys = " AND ".join(f"s.{self.staged(name)} IS (+{live}.{quoted(name)}) COLLATE BINARY" for name in self._key)
        return f"EXISTS (SELECT 1 FROM {self.temp(kind)} AS s WHERE {keys} AND {condition})"

    def same(self, live: str, staged: str, columns: Sequence[str]) -> str:
        """Whether a live row holds the staged values: without conversions, text by its bytes, NULL equal to NULL."""
        # A unary plus takes a column's affinity away, which would convert the other side.
        terms = [f"(+{live}.{quoted(name)}) IS {staged}.{self.staged(name)} COLLATE BINARY" for name in columns]
        terms += [
            f"typeof({live}.{quoted(name)}) = typeof({staged}.{self.staged(name)})"
            for name in columns
            if self._types[name] == "any"
        ]
        return chain("AND", terms)

    @property
    def written(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.loaded.binder.columns)

    @property
    def _positions(self) -> dict[str, int]:
        return {column.name: n for n, column in enumerate(self.loaded.binder.columns)}

    @property
    def _types(self) -> dict[str, str]:
        return {column.name: column.type for column in self.loaded.binder.columns}

    @property
    def _key(self) -> tuple[str, ...]:
        return self.loaded.table.schema.key


def load(connection: Connection, changes: Iterable[RowChanges], task: Task = UNTOLD) -> list[Loaded]:
    """Make and fill the temporary tables, piece by piece. Raises SourceUnfit for values SQLite cannot hold."""
    loaded = []
    for number, (_, pieces) in enumerate(groupby(changes, lambda piece: piece.table.name)):
        loader: _Loader | None = None
        for piece in pieces:
            loader = loader or _Loader(connection, number, piece.table)
            loader.add(piece)
            task.advance(piece.rows)
        assert loader is not None
        loaded.append(loader.finish(changes))
    return loaded


def load_rows(connection: Connection, changes: RowChanges, number: int) -> Loaded:
    """The same for one table, its temporary tables numbered ``number``."""
    loader = _Loader(connection, number, changes.table)
    loader.add(changes)
    return loader.finish([changes])


class _Loader:
    """One table's rows on their way into its temporary tables."""

    def __init__(self, connection: Connection, number: int, table: SourceTable) -> None:
        self._connection, self._number, self._table = connection, number, table
        self._binder = RowBinder(table)
        self._parameters = self._binder.schema().append(pa.field("mask", pa.int32()))
        self._columns = [f"c{n}" for n in range(len(self._binder.columns))]
        self._masks: dict[tuple[str, ...], int] = {}
        self._counts: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        for kind in KINDS:
            connection.run(f"CREATE TEMP TABLE {self._unqualified(kind)} (mask, {', '.join(self._columns)})")

    def add(self, piece: RowChanges) -> None:
        marks = self._marks(piece.old, piece.new)
        for kind in KINDS:
            rows = _rows(piece, kind)
            if rows.num_rows:
                self._load(kind, rows, marks if kind in ("old", "new") else pa.nulls(rows.num_rows, pa.int32()))
                self._counts[kind] += rows.num_rows

    def finish(self, changes: Iterable[RowChanges]) -> Loaded:
        keys = ", ".join(f"c{[c.name for c in self._binder.columns].index(name)}" for name in self._table.schema.key)
        for kind in KINDS:
            index = f'temp."_ps_{kind}_{self._number}_key"'
            self._connection.run(f"CREATE INDEX {index} ON {self._unqualified(kind)} ({keys})")
        return Loaded(self._number, self._table, self._binder, tuple(self._masks), self._counts, changes)

    def _load(self, kind: Kind, rows: pa.Table, marks: pa.Array) -> None:
        def batches() -> Iterable[pa.RecordBatch]:
            at = 0
            for batch in rows.to_batches():
                encoded = self._binder.encoded(batch)
                mark = marks.slice(at, batch.num_rows)
                at += batch.num_rows
                yield pa.RecordBatch.from_arrays([*encoded.columns, mark], schema=self._parameters)

        values = [*self._binder.values(), f"?{len(self._parameters)}"]
        target = f"{_temp(kind, self._number)} ({', '.join(self._columns)}, mask)"
        self._connection.bind(f"INSERT INTO {target} VALUES ({', '.join(values)})", self._parameters, batches())

    def _marks(self, old: pa.Table, new: pa.Table) -> pa.Array:
        """For each row the number of its mask: of the set of columns in which it differs."""
        differing = {c.name: _differs(old.column(c.name), new.column(c.name)) for c in self._binder.columns}
        changed = [name for name, differs in differing.items() if pc.any(differs).as_py()]
        if not changed:
            return pa.repeat(pa.scalar(self._mask(()) if old.num_rows else 0, pa.int32()), old.num_rows)
        bits = [differing[name].cast(pa.int8()).cast(pa.string()) for name in changed]
        labels = pc.binary_join_element_wise(*bits, "").dictionary_encode()
        numbers = [
            self._mask(tuple(name for name, bit in zip(changed, label, strict=True) if bit == "1"))
            for label in labels.dictionary.to_pylist()
        ]
        return pa.array(numbers, pa.int32()).take(labels.indices)

    def _mask(self, columns: tuple[str, ...]) -> int:
        return self._masks.setdefault(columns, len(self._masks))

    def _unqualified(self, kind: Kind) -> str:
        return _temp(kind, self._number).removeprefix("temp.")


def _temp(kind: Kind, number: int) -> str:
    return f'temp."_ps_{kind}_{number}"'


def _rows(piece: RowChanges, kind: Kind) -> pa.Table:
    return {"deletes": piece.deletes, "inserts": piece.inserts, "old": piece.old, "new": piece.new}[kind]


def _differs(old: pa.ChunkedArray, new: pa.ChunkedArray) -> pa.Array:
    left, right = old.combine_chunks(), new.combine_chunks()
    both_null = pc.and_(pc.is_null(left), pc.is_null(right))
    return pc.invert(pc.coalesce(pc.equal(left, right), both_null))
