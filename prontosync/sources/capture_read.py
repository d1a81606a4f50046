"""Change capture read: the rows whose keys were noted since a mark, looked up one by one by their primary key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa

from prontosync.engine.arrow import arrow_schema
from prontosync.model.schema import TableSchema
from prontosync.sources.bindings import RowBinder
from prontosync.sources.capture_triggers import Capture
from prontosync.sources.connection import Connection
from prontosync.sources.contract import BEFORE, PRESENT, ChangedRows, Mark, SourceTable, SourceUnfit, TableTracking
from prontosync.sources.scan import Attempt, Misfits, Place, TableReader
from prontosync.sources.statements import chain, quoted
from prontosync.sources.survey import Shape
from prontosync.sources.typemap import BOOL, Plan

T = TypeVar("T")
COUNTED_ANYWAY = 100_000
"""Up to so many rows, counting them costs nothing to speak of."""
_KEYS = 'temp."_ps_keys"'


class Doubt(Exception):
    """Notes are not enough; in words why. Never leaves this room."""


@dataclass(frozen=True)
class Wanted:
    """The arguments of the contract's ``SourceState.changed``."""

    since: Mark
    token: str
    expected: SourceTable
    rows: int | None
    highest: int | None
    extra_keys: pa.Table | None
    limit: int


@dataclass(frozen=True)
class ChangeReader:
    """Reads what changed in one table, in the transaction of ``connection``. ``tracking`` is the table's in there."""

    connection: Connection
    shape: Shape
    utf8: bool
    tracking: TableTracking
    wanted: Wanted

    def read(self, consume: Callable[[ChangedRows], T]) -> T:
        """The contract's ``SourceState.changed``. Raises Doubt, Source…"""
        plans = self._plans()
        self._check_notes()
        if self.tracking.mark == self.wanted.since and self.wanted.extra_keys is None:
            self._check_rows(noted=False)
            return consume(ChangedRows(self.wanted.expected, iter(())))
        with self._keys():
            self._check_keys()
            self._check_rows(noted=True)
            return self._give(consume, plans)

    def _plans(self) -> list[list[Plan]]:
        """For each column those of its plans that give what is expected."""
        expected = self.wanted.expected
        types = {column.name: column.type for column in expected.schema.columns}
        forms = expected.ddl.forms
        found = [
            [p for p in plans if (p.type, p.form) == (types.get(column.name), forms.get(column.name, ""))]
            for column, plans in zip(self.shape.columns, self.shape.chains, strict=True)
        ]
        if not all(found) or self.shape.described([plans[0] for plans in found]) != expected:
            raise Doubt("its definition is not the one it had")
        return found

    def _check_notes(self) -> None:
        """The notes go on from where they stood."""
        since = self.wanted.since
        if self.wanted.token != self.tracking.token:
            raise Doubt("definitions in the database changed or it was vacuumed, or its notes began anew")
        if since == Mark(0, 0):
            # Pruning leaves the newest note, so a first note that is not number 1 has lost others before it.
            if self._value(f"SELECT min(seq) FROM {self._notes}") not in (None, 1):
                raise Doubt("notes since the mark were pruned")
        elif self._value(f"SELECT r FROM {self._notes} WHERE seq = {since.seq}") != since.r:
            raise Doubt("its notes do not go on from the mark: the database was restored, or the mark pruned")
        limit = self.wanted.limit
        if self._up_to(limit + 1, "1") > limit and self._up_to(limit + 1, f"DISTINCT {self._identity}") > limit:
            raise Doubt(f"more than {limit} keys were noted")

    def _up_to(self, most: int, what: str) -> int:
        """How many there are of something in the new notes, counted no further than ``most``."""
        return int(self._value(f"SELECT count(*) FROM (SELECT {what} FROM {self._new_notes} LIMIT {most})"))

    @contextmanager
    def _keys(self) -> Iterator[None]:
        """The keys in a temporary table: each once, noted ones first."""
        columns = ", ".join(self._capture.key)
        with self._scratch():
            self.connection.run(f"CREATE TEMP TABLE {_KEYS.removeprefix('temp.')} (before, {columns})")
        try:
            with self._scratch():
                self.connection.run(f'CREATE UNIQUE INDEX temp."_ps_keys_once" ON "_ps_keys" ({self._identity})')
                self.connection.run(
                    f"INSERT OR IGNORE INTO {_KEYS} (before, {columns})"
                    f" SELECT op <> 'I', {columns} FROM {self._new_notes} ORDER BY seq"
                )
                if self.wanted.extra_keys is not None:
                    self._add(self.wanted.extra_keys)
            yield
        finally:
            with self._scratch():
                self.connection.run(f"DROP TABLE {_KEYS}")

    def _add(self, keys: pa.Table) -> None:
        """Keys that nobody noted, as they would be stored."""
        expected = self.wanted.expected
        columns = tuple(c for name in expected.schema.key for c in expected.schema.columns if c.name == name)
        binder = RowBinder(SourceTable(expected.name, TableSchema(columns, expected.schema.key), expected.ddl))
        sql = f"INSERT OR IGNORE INTO {_KEYS} ({', '.join(self._capture.key)}) VALUES ({', '.join(binder.values())})"
        rows = keys.select(list(expected.schema.key)).cast(arrow_schema(binder.table.schema))
        try:
            self.connection.bind(sql, binder.schema(), map(binder.encoded, rows.to_batches()))
        except SourceUnfit as error:
            raise Doubt(error.message) from error

    @contextmanager
    def _scratch(self) -> Iterator[None]:
        """Temporary tables may be written, which is denied to a connection that is to leave the live file alone."""
        denied = bool(self._value("PRAGMA query_only"))
        self.connection.run("PRAGMA query_only = OFF")
        try:
            yield
        finally:
            if denied:
                self.connection.run("PRAGMA query_only = ON")

    def _check_keys(self) -> None:
        # SQLite takes 0.0 and -0.0 for one value, others do not. Keys may be NULL in tables with a rowid.
        odd = [f"{k} IS NULL OR typeof({k}) = 'real' AND {k} = 0" for k in self._capture.key]
        if self._value(f"SELECT EXISTS (SELECT 1 FROM {_KEYS} WHERE {chain('OR', odd)})"):
            raise Doubt("a key is NULL or zero, which keys do not tell apart")

    def _check_rows(self, noted: bool) -> None:
        """No row came or went without a note. ``noted``: there are keys to look at."""
        live, rows = self.shape.live, self.wanted.rows
        if live.rowid_key and (self.wanted.highest is not None or rows == 0):
            top = self._value(f"SELECT max({quoted(live.rowid_key)}) FROM main.{quoted(live.name)}")
            newest = self._value(f"SELECT max(k0) FROM {_KEYS} WHERE before IS NOT NULL") if noted else None
            known = [key for key in (newest, self.wanted.highest) if key is not None]
            if top is not None and (not known or top > max(known)):
                raise Doubt("a row was inserted without its trigger")
        if rows is None and self.tracking.counted:
            raise Doubt("a row may go without a note, and nobody knows how many there were")
        if rows is not None and (self.tracking.counted or rows <= COUNTED_ANYWAY):
            come = f"SELECT total(n.before = 0 AND {self._present}) - total(n.before = 1 AND NOT {self._present})"
            net = int(self._value(f"{come} FROM {self._source}")) if noted else 0
            if self._value(f"SELECT count(*) FROM main.{quoted(live.name)}") != rows + net:
                raise Doubt("rows came or went without their triggers")

    def _give(self, consume: Callable[[ChangedRows], T], plans: Sequence[Sequence[Plan]]) -> T:
        steps = [0] * len(plans)
        batch_rows = TableReader(self.connection, self.shape, self.utf8).batch_rows()
        while True:
            chosen = [found[step] for found, step in zip(plans, steps, strict=True)]
            attempt = Attempt(self.connection, self._place, [*chosen, BOOL, BOOL], self._schema, batch_rows)
            try:
                return attempt.give(lambda batches: consume(ChangedRows(self.wanted.expected, batches)))
            except Misfits as found_out:
                for column in found_out.columns:
                    steps[column] += 1
                    if steps[column] == len(plans[column]):
                        name = self.shape.columns[column].name
                        raise Doubt(f'a value of column "{name}" does not fit the type it had') from found_out

    @property
    def _schema(self) -> pa.Schema:
        schema = arrow_schema(self.wanted.expected.schema)
        return schema.append(pa.field(PRESENT, pa.bool_())).append(pa.field(BEFORE, pa.bool_()))

    @property
    def _place(self) -> Place:
        keys = {name: f"n.{k}" for name, k in zip(self.shape.key, self._capture.key, strict=True)}
        columns = [keys.get(column.name, f"t.{quoted(column.name)}") for column in self.shape.columns]
        return Place(self._source, (*columns, self._present, "n.before"))

    @property
    def _present(self) -> str:
        return f"(t.{quoted(self.shape.key[0])} IS NOT NULL)"

    @property
    def _source(self) -> str:
        """Each key with its row. The index is forced: rather an error than a search through the whole table."""
        live = self.shape.live
        index = next((index.name for index in live.indexes if index.primary), None)
        by = "NOT INDEXED" if live.rowid_key or index is None else f"INDEXED BY {quoted(index)}"
        collations = self._capture.collations
        # The first comparison finds the row by the index, as the index compares; the others make it exact.
        terms = [
            f"t.{column} = n.{key} COLLATE {collation} AND (+t.{column}) IS n.{key} COLLATE BINARY{same}"
            for column, key, collation, same in self._exact(collations)
        ]
        return f"{_KEYS} AS n LEFT JOIN main.{quoted(live.name)} AS t {by} ON {' AND '.join(terms)}"

    def _exact(self, collations: Sequence[str]) -> Iterator[tuple[str, str, str, str]]:
        for name, key, collation in zip(self.shape.key, self._capture.key, collations, strict=True):
            column = quoted(name)
            same = f" AND typeof(t.{column}) = typeof(n.{key})" if self._is_any(name) else ""
            yield column, key, collation, same

    @property
    def _identity(self) -> str:
        """What tells two keys apart: values, and where a column takes all of them, their storage classes."""
        pairs = list(zip(self.shape.key, self._capture.key, strict=True))
        return ", ".join([key for _, key in pairs] + [f"typeof({key})" for name, key in pairs if self._is_any(name)])

    def _is_any(self, name: str) -> bool:
        return self.wanted.expected.schema.type_of(name) == "any"

    @property
    def _capture(self) -> Capture:
        return Capture(self.shape.live, self.tracking.number)

    @property
    def _notes(self) -> str:
        return f"main.{quoted(self._capture.notes)}"

    @property
    def _new_notes(self) -> str:
        return f"{self._notes} WHERE seq > {self.wanted.since.seq}"

    def _value(self, sql: str) -> Any:
        return self.connection.value(sql)
