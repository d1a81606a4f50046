"""Reading one table: a first typed row fixes ADBC's types, misfits widen a column's plan and start the scan again."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from threading import Event, Lock
from typing import TypeVar

import pyarrow as pa

from prontosync.engine.arrow import arrow_schema
from prontosync.model.schema import TableSchema
from prontosync.sources.connection import FOREIGN, Connection, said, translated
from prontosync.sources.contract import Scan
from prontosync.sources.statements import chain, quoted
from prontosync.sources.survey import Shape
from prontosync.sources.typemap import Misfit, Plan

T = TypeVar("T")

MAX_BATCH_ROWS = 65_536
BATCH_BYTES = 16 << 20
_SAMPLE = 256
PEEK_ROWS = 1024
_MARKED = re.compile(r"JSON path[^']*'c(\d+)'", re.IGNORECASE)
_MISMATCHED = re.compile(r"Type mismatch in column (\d+)")


class Misfits(Exception):
    """The columns, by position, whose plans do not fit."""

    def __init__(self, columns: set[int]) -> None:
        super().__init__(columns)
        self.columns = columns


@dataclass(frozen=True)
class Place:
    """Where rows are read from: what stands behind FROM, and what each column is called there."""

    source: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class TableReader:
    """Reads one table of an open connection, whose transaction keeps the state still."""

    connection: Connection
    shape: Shape
    utf8: bool

    def scan(
        self,
        consume: Callable[[Scan], T],
        expected: TableSchema | None = None,
        least: Mapping[str, str] | None = None,
    ) -> T:
        """The contract's ``SourceState.scan``."""
        steps = self._least(least or {})
        if expected is not None:
            self._skip_to(expected, steps)
        self._peek(steps)
        batch_rows = self.batch_rows()
        while True:
            try:
                return self._scan(consume, self._plans(steps), batch_rows)
            except Misfits as found:
                for column in found.columns:
                    steps[column] += 1

    def _scan(self, consume: Callable[[Scan], T], plans: Sequence[Plan], batch_rows: int) -> T:
        table, ordered = self.shape.described(plans), self.shape.ordered(plans, self.utf8)
        attempt = self._attempt(plans, batch_rows)
        return attempt.give(lambda batches: consume(Scan(table, batches, ordered)))

    def _attempt(self, plans: Sequence[Plan], batch_rows: int) -> Attempt:
        live = self.shape.live
        names = tuple(quoted(column.name) for column in self.shape.columns)
        place = Place(f"main.{quoted(live.name)} {live.as_stored}", names)
        return Attempt(self.connection, place, plans, arrow_schema(self.shape.described(plans).schema), batch_rows)

    def _plans(self, steps: Sequence[int]) -> list[Plan]:
        return [plans[step] for plans, step in zip(self.shape.chains, steps, strict=True)]

    def _least(self, types: Mapping[str, str]) -> list[int]:
        """The first plan of each column that gives the type wanted, or else any."""
        found = []
        for column, plans in zip(self.shape.columns, self.shape.chains, strict=True):
            kinds = [plan.type for plan in plans]
            wanted = types.get(column.name, "")
            found.append(kinds.index(wanted) if wanted in kinds else 0)
        return found

    def _peek(self, steps: list[int]) -> None:
        """Step over the plans that the first rows do not fit, while that is cheap."""
        while True:
            try:
                with self._attempt(self._plans(steps), PEEK_ROWS).batches():
                    return
            except Misfits as found:
                for column in found.columns:
                    steps[column] += 1

    def _skip_to(self, expected: TableSchema, steps: list[int]) -> None:
        """Step over plans that cannot fit, in columns that did not fit them before."""
        types = {column.name: column.type for column in expected.columns}
        for n, (column, plans) in enumerate(zip(self.shape.columns, self.shape.chains, strict=True)):
            wanted = types.get(column.name)
            if wanted in {plan.type for plan in plans}:
                while plans[steps[n]].type != wanted and self._has_misfit(column.name, plans[steps[n]]):
                    steps[n] += 1

    def _has_misfit(self, column: str, plan: Plan) -> bool:
        if plan.misfit is None:
            return False
        table = f"main.{quoted(self.shape.live.name)} {self.shape.live.as_stored}"
        found = f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {plan.misfit(quoted(column))}) AS found"
        return bool(self.connection.value(found))

    def batch_rows(self) -> int:
        """So many rows that a batch stays near ``BATCH_BYTES``, by the first and the last rows."""
        live, columns = self.shape.live, self.shape.columns
        size = chain("+", [f"coalesce(octet_length({quoted(column.name)}), 0)" for column in columns])
        table = f"main.{quoted(live.name)} {live.as_stored}"
        ends = [f"SELECT {size} AS size FROM (SELECT * FROM {table} LIMIT {_SAMPLE})"]
        if live.rowid:
            last = f"SELECT * FROM {table} ORDER BY {live.rowid} DESC LIMIT {_SAMPLE}"
            ends.append(f"SELECT {size} AS size FROM ({last})")
        average = self.connection.value(f"SELECT CAST(avg(size) AS INTEGER) AS size FROM ({' UNION ALL '.join(ends)})")
        return max(64, min(MAX_BATCH_ROWS, BATCH_BYTES // ((average or 0) + 8 * len(columns))))


def _read_ahead(reader: pa.RecordBatchReader) -> Generator[pa.RecordBatch]:
    """The reader's batches; while one is used, the next is fetched on a thread of its own. Once it has ended, nothing
    touches the reader any more."""
    reading, ended = Lock(), Event()

    def following() -> pa.RecordBatch | None:
        with reading:
            try:
                return None if ended.is_set() else reader.read_next_batch()
            except StopIteration:
                return None

    try:
        with ThreadPoolExecutor(1, thread_name_prefix="scan") as pool:
            ahead = pool.submit(following)
            while (batch := ahead.result()) is not None:
                ahead = pool.submit(following)
                yield batch
    finally:
        # A pool does not wait for a thread in whose start it was interrupted.
        ended.set()
        with reading:
            pass


class Attempt:
    """One pass over rows with fixed plans, one for each column of ``place`` and ``schema``. ``failure`` is what stopped
    it, whatever became of the exception."""

    def __init__(
        self, connection: Connection, place: Place, plans: Sequence[Plan], schema: pa.Schema, batch_rows: int
    ) -> None:
        self.failure: Exception | None = None
        self._connection, self._place, self._plans = connection, place, plans
        self._batch_rows = batch_rows
        self._schema = schema
        self._owners = [n for n, plan in enumerate(plans) for _ in plan.arrow]

    def give(self, consume: Callable[[Iterator[pa.RecordBatch]], T]) -> T:
        """Give the batches to ``consume``. Raises Misfits, Source…, and what ``consume`` raises."""
        try:
            with self.batches() as batches:
                return consume(batches)
        except Misfits:
            raise
        except Exception:
            # A consumer that hands the rows to other libraries may leave with their error in place of ours.
            if self.failure is None:
                raise
            raise self.failure from None

    @contextmanager
    def batches(self) -> Iterator[Iterator[pa.RecordBatch]]:
        """Decoded batches; the first one is decoded on entry. Raises Misfits, there and in the midst."""
        with ExitStack() as stack:
            try:
                reader = stack.enter_context(self._connection.stream(self._sql(), self._batch_rows))
                first = self._decoded(reader.read_next_batch(), 1)
            except FOREIGN as error:
                raise self._judged(error) from error
            rows = self._remaining(first, reader)
            stack.callback(rows.close)
            yield rows

    def _remaining(self, first: pa.RecordBatch, reader: pa.RecordBatchReader) -> Generator[pa.RecordBatch]:
        try:
            with closing(_read_ahead(reader)) as following:
                if first.num_rows:
                    yield first
                del first
                for batch in following:
                    yield self._decoded(batch, 0)
        except FOREIGN as error:
            self.failure = self._judged(error)
            raise self.failure from error
        except Misfits as misfits:
            self.failure = misfits
            raise

    def _decoded(self, batch: pa.RecordBatch, skip: int) -> pa.RecordBatch:
        arrays = batch.columns
        decoded, misfits, at = [], set(), 0
        for n, plan in enumerate(self._plans):
            parts = arrays[at : at + len(plan.arrow)]
            at += len(plan.arrow)
            try:
                if tuple(part.type for part in parts) != plan.arrow:
                    raise Misfit
                decoded.append(plan.decode([part.slice(skip) for part in parts] if skip else parts))
            except Misfit:
                misfits.add(n)
        if misfits:
            raise Misfits(misfits)
        return pa.RecordBatch.from_arrays(decoded, schema=self._schema)

    def _judged(self, error: Exception) -> Exception:
        """A misfit that SQLite or ADBC met, or what else the error means."""
        words = said(error)
        marked, mismatched = _MARKED.search(words), _MISMATCHED.search(words)
        if marked:
            return Misfits({int(marked[1])})
        if mismatched:
            return Misfits({self._owners[int(mismatched[1])]})
        return translated(error, self._connection.path)

    def _sql(self) -> str:
        dummies = [dummy for plan in self._plans for dummy in plan.dummies]
        values: list[str] = []
        for n, (column, plan) in enumerate(zip(self._place.columns, self._plans, strict=True)):
            values += plan.select(column, f"json_extract('{{}}', 'c{n}')")
        return f"SELECT {', '.join(dummies)} UNION ALL SELECT {', '.join(values)} FROM {self._place.source}"
