"""The rows of an apply in temporary tables without declared types, and the SQL that matches them with live rows.

For the i-th written column a temporary table holds ``c<i>``; its rowids count the rows from 1. ``old`` and ``new``
stand row by row, and ``mask`` tells which set of columns differs between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from prontosync.sources.bindings import RowBinder, key_text
from prontosync.sources.catalog import LiveTable
from prontosync.sources.connection import Connection
from prontosync.sources.contract import RowChanges
from prontosync.sources.statements import chain, quoted

Kind = Literal["deletes", "inserts", "old", "new"]
KINDS: tuple[Kind, ...] = ("deletes", "inserts", "old", "new")


@dataclass(frozen=True)
class Staged:
    """``masks`` holds the columns of each mask; one may be empty, for rows in which nothing differs."""

    number: int
    changes: RowChanges
    live: LiveTable
    binder: RowBinder
    masks: tuple[tuple[str, ...], ...]

    @property
    def name(self) -> str:
        return self.live.name

    @property
    def main(self) -> str:
        return f"main.{quoted(self.name)}"

    def rows(self, kind: Kind) -> pa.Table:
        return {
            "deletes": self.changes.deletes,
            "inserts": self.changes.inserts,
            "old": self.changes.old,
            "new": self.changes.new,
        }[kind]

    def temp(self, kind: Kind) -> str:
        return f'temp."_ps_{kind}_{self.number}"'

    def key_text(self, kind: Kind, rowid: int) -> str:
        return key_text(self.rows(kind), rowid - 1, self.changes.table.schema)

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
        return tuple(column.name for column in self.binder.columns)

    @property
    def _positions(self) -> dict[str, int]:
        return {column.name: n for n, column in enumerate(self.binder.columns)}

    @property
    def _types(self) -> dict[str, str]:
        return {column.name: column.type for column in self.binder.columns}

    @property
    def _key(self) -> tuple[str, ...]:
        return self.changes.table.schema.key


def stage(connection: Connection, number: int, changes: RowChanges, live: LiveTable) -> Staged:
    """Make and fill the temporary tables of one table. Raises SourceUnfit for values SQLite cannot hold."""
    binder = RowBinder(changes.table)
    names = [column.name for column in binder.columns]
    labels, masks = _masks(changes.old, changes.new, names)
    staged = Staged(number, changes, live, binder, masks)
    for kind in KINDS:
        rows = staged.rows(kind)
        marks = labels if kind in ("old", "new") else pa.nulls(rows.num_rows, pa.int32())
        _load(connection, staged, kind, marks)
    return staged


def _load(connection: Connection, staged: Staged, kind: Kind, marks: pa.Array) -> None:
    columns = [f"c{n}" for n in range(len(staged.binder.columns))]
    connection.run(f"CREATE TEMP TABLE {staged.temp(kind).removeprefix('temp.')} (mask, {', '.join(columns)})")
    schema = staged.binder.schema()

    def rows() -> Iterable[pa.RecordBatch]:
        at = 0
        for batch in staged.rows(kind).to_batches():
            encoded = staged.binder.encoded(batch)
            mark = marks.slice(at, batch.num_rows)
            at += batch.num_rows
            yield pa.RecordBatch.from_arrays(
                [*encoded.columns, mark], schema=schema.append(pa.field("mask", pa.int32()))
            )

    values = [*staged.binder.values(), f"?{len(schema) + 1}"]
    sql = f"INSERT INTO {staged.temp(kind)} ({', '.join(columns)}, mask) VALUES ({', '.join(values)})"
    connection.bind(sql, schema.append(pa.field("mask", pa.int32())), rows())
    keys = ", ".join(staged.staged(name) for name in staged.changes.table.schema.key)
    index = f'temp."_ps_{kind}_{staged.number}_key"'
    connection.run(f"CREATE INDEX {index} ON {staged.temp(kind).removeprefix('temp.')} ({keys})")


def _masks(old: pa.Table, new: pa.Table, names: Sequence[str]) -> tuple[pa.Array, tuple[tuple[str, ...], ...]]:
    """For each row the number of its mask, and each mask's columns."""
    differing = {name: _differs(old.column(name), new.column(name)) for name in names}
    changed = [name for name in names if pc.any(differing[name]).as_py()]
    if not changed:
        return pa.repeat(pa.scalar(0, pa.int32()), old.num_rows), ((),)
    bits = [differing[name].cast(pa.int8()).cast(pa.string()) for name in changed]
    labels = pc.binary_join_element_wise(*bits, "").dictionary_encode()
    masks = tuple(
        tuple(name for name, bit in zip(changed, label, strict=True) if bit == "1")
        for label in labels.dictionary.to_pylist()
    )
    return labels.indices, masks


def _differs(old: pa.ChunkedArray, new: pa.ChunkedArray) -> pa.Array:
    left, right = old.combine_chunks(), new.combine_chunks()
    both_null = pc.and_(pc.is_null(left), pc.is_null(right))
    return pc.invert(pc.coalesce(pc.equal(left, right), both_null))
