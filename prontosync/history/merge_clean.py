"""The rows of a merge that something decides at once, in SQL: to the same effect as ``history.row_merge``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from prontosync.engine.connection import Engine, literal, quoted
from prontosync.history.policies import ROW, Policies, Writer
from prontosync.model.changes import CHANGE, DELETE, INSERT, UPDATE, UPSERT
from prontosync.model.objects import Changes
from prontosync.model.rules import MAX, MIN, SUM
from prontosync.model.schema import MAX_PRECISION, TableSchema, decimal_parts
from prontosync.tables.compare import Delta
from prontosync.tables.order import as_rows
from prontosync.tables.patch import patch_schema

OUTCOME = "_ps_outcome"
TAKE, REMOVE, NONE, CELLS, HARD = "take", "remove", "none", "cells", "hard"


@dataclass(frozen=True)
class CleanRows:
    """SQL over theirs' changes joined with ours' rows: of column i, ``o<i>`` is base's value, ``x<i>`` ours', ``n<i>``
    theirs' and ``r<i>`` the merged one. ``HARD`` are the rows that are left to the rules."""

    engine: Engine
    schema: TableSchema
    policies: Policies
    theirs: Writer

    def outcomes(self, delta: Delta, special: pa.Table, ours: pa.Table) -> pa.Table:
        """For each change of theirs whose key is not among ``special``: what comes of it, the three rows and the merged
        cells. ``ours`` are ours' rows of these keys."""
        names = self.schema.names
        columns = ", ".join(f"o{i}, n{i}, x{i}, {self._cell(i)} AS r{i}" for i in range(len(names)))
        mine = ", ".join(f"{quoted(name)} AS x{i}" for i, name in enumerate(names))
        keys = [names.index(name) for name in self.schema.key]
        on = " AND ".join(f"coalesce(d.n{i}, d.o{i}) = m.x{i}" for i in keys)
        skip = " AND ".join(f"coalesce(d.n{i}, d.o{i}) = s.{quoted(names[i])}" for i in keys)
        result = self.engine.table(
            f"SELECT {self._outcome()} AS {OUTCOME}, {columns} "
            f"FROM (SELECT * FROM _ps_d d ANTI JOIN _ps_s s ON {skip}) d "
            f"LEFT JOIN (SELECT true AS op, {mine} FROM _ps_m) m ON {on}",
            _ps_d=delta.table,
            _ps_s=special,
            _ps_m=ours,
        )
        return _cast(result, _outcome_schema(self.schema))

    def patch(self, outcomes: pa.Table) -> tuple[pa.Table, Changes, int]:
        """The patch of the rows that something decides, what it changes in ours, and how many rows are as theirs."""
        indexes = range(len(self.schema.names))
        ours_is_result = " AND ".join(f"x{i} IS NOT DISTINCT FROM r{i}" for i in indexes)
        theirs_is_result = " AND ".join(f"n{i} IS NOT DISTINCT FROM r{i}" for i in indexes)
        columns = ", ".join(
            f"CASE {OUTCOME} WHEN '{TAKE}' THEN n{i} WHEN '{REMOVE}' THEN o{i} ELSE r{i} END AS {quoted(name)}"
            for i, name in enumerate(self.schema.names)
        )
        result = self.engine.table(
            f"SELECT {columns}, CASE {OUTCOME} WHEN '{REMOVE}' THEN '{DELETE}' ELSE '{UPSERT}' END AS {CHANGE}, "
            f"({OUTCOME} <> '{CELLS}' OR ({theirs_is_result})) AS _ps_taken FROM _ps_r "
            f"WHERE {OUTCOME} IN ('{TAKE}', '{REMOVE}') OR ({OUTCOME} = '{CELLS}' AND NOT ({ours_is_result}))",
            _ps_r=outcomes,
        )
        inserted, deleted = (_number_of(outcomes, outcome) for outcome in (TAKE, REMOVE))
        counts = Changes(inserted, result.num_rows - inserted - deleted, deleted)
        taken = pc.sum(result.column("_ps_taken").cast(pa.int64())).as_py() or 0
        return _cast(result.drop_columns(["_ps_taken"]), patch_schema(self.schema)), counts, taken

    def decided(self, outcomes: pa.Table, column: int) -> pa.Table:
        """Of the rows that both sides changed in a column with a policy of its own: key columns as ``k<i>``, then
        ``base``, ``ours``, ``theirs`` and ``result``."""
        keys = [self.schema.names.index(name) for name in self.schema.key]
        told = ", ".join([f"coalesce(n{i}, o{i}) AS k{i}" for i in keys])
        both = f"x{column} IS DISTINCT FROM o{column} AND n{column} IS DISTINCT FROM o{column}"
        summed = self.policies.columns[column] == SUM
        differ = f" AND {_all_there(column)}" if summed else f" AND x{column} IS DISTINCT FROM n{column}"
        return self.engine.table(
            f"SELECT {told}, o{column} AS base, x{column} AS ours, n{column} AS theirs, r{column} AS result "
            f"FROM _ps_r WHERE {OUTCOME} = '{CELLS}' AND {both}{differ}",
            _ps_r=outcomes,
        )

    def _outcome(self) -> str:
        indexes = range(len(self.schema.names))
        ours_is_theirs = " AND ".join(f"x{i} IS NOT DISTINCT FROM n{i}" for i in indexes)
        ours_is_base = " AND ".join(f"x{i} IS NOT DISTINCT FROM o{i}" for i in indexes)
        undecided = " OR ".join([*(self._undecided(i) for i in indexes), *self._contested()])
        forbidden = forbidden_change(self.schema, self.policies, self.theirs)
        return (
            f"CASE {f'WHEN {forbidden} THEN {literal(HARD)} ' if forbidden else ''}WHEN {CHANGE} = '{INSERT}' THEN "
            f"CASE WHEN op IS NULL THEN '{TAKE}' WHEN {ours_is_theirs} THEN '{NONE}' ELSE '{HARD}' END "
            f"WHEN {CHANGE} = '{DELETE}' THEN "
            f"CASE WHEN op IS NULL THEN '{NONE}' WHEN {ours_is_base} THEN '{REMOVE}' ELSE '{HARD}' END "
            f"ELSE CASE WHEN op IS NULL OR {undecided} THEN '{HARD}' ELSE '{CELLS}' END END"
        )

    def _cell(self, i: int) -> str:
        """The merged cell, where something decides it."""
        theirs, ours = f"n{i} IS NOT DISTINCT FROM o{i}", f"x{i} IS NOT DISTINCT FROM o{i}"
        both = self._extreme(i) or f"x{i}"
        plain = f"CASE WHEN {theirs} THEN x{i} WHEN {ours} THEN n{i} ELSE {both} END"
        total = self._sum(i)
        return f"CASE WHEN {_all_there(i)} THEN {total} ELSE {plain} END" if total else plain

    def _undecided(self, i: int) -> str:
        plain = f"x{i} IS DISTINCT FROM n{i} AND n{i} IS DISTINCT FROM o{i} AND x{i} IS DISTINCT FROM o{i}"
        if self._extreme(i):
            return f"({plain} AND (x{i} IS NULL OR n{i} IS NULL))"
        total = self._sum(i)
        return f"CASE WHEN {_all_there(i)} THEN ({total}) IS NULL ELSE ({plain}) END" if total else f"({plain})"

    def _contested(self) -> list[str]:
        """Both sides changed something that the later time decides as a whole, and differ in it."""
        register = self.policies.register
        if not register:
            return []
        pairs = (("x", "o"), ("n", "o"), ("x", "n"))
        differ = [" OR ".join(f"{a}{i} IS DISTINCT FROM {b}{i}" for i in register) for a, b in pairs]
        return ["(" + " AND ".join(f"({condition})" for condition in differ) + ")"]

    def _extreme(self, i: int) -> str | None:
        policy = self.policies.columns[i] if self.policies.columns else None
        function = {MAX: "greatest", MIN: "least"}.get(policy or "")
        return f"{function}(x{i}, n{i})" if function else None

    def _sum(self, i: int) -> str | None:
        """base + both differences as SQL, NULL where it does not fit the type."""
        if not self.policies.columns or self.policies.columns[i] != SUM:
            return None
        logical = self.schema.columns[i].type
        if logical == "float64":  # a side that changed alone is taken as it is: (0.1 + 0.3) - 0.1 is not 0.3
            return f"CASE WHEN x{i} = o{i} THEN n{i} WHEN n{i} = o{i} THEN x{i} ELSE x{i} + n{i} - o{i} END"
        if logical == "int64":
            return f"TRY_CAST(x{i}::HUGEINT + n{i}::HUGEINT - o{i}::HUGEINT AS BIGINT)"
        precision, scale = decimal_parts(logical) or (MAX_PRECISION, 0)
        if precision > MAX_PRECISION - 2:
            return "NULL"  # no room for the sum of three; such rows are added up one by one
        wide = f"DECIMAL({MAX_PRECISION},{scale})"
        return f"TRY_CAST(x{i}::{wide} + n{i}::{wide} - o{i}::{wide} AS DECIMAL({precision},{scale}))"


def forbidden_change(schema: TableSchema, policies: Policies, writer: Writer) -> str | None:
    """A condition over a delta's columns: whether a writer was not allowed to make the change by himself; None where
    all of them may be made."""
    if not policies.judges or writer.trusted:
        return None
    found = []
    if policies.down:
        free = [i for i in range(len(schema.columns)) if i not in policies.exempt]
        found += [f"{CHANGE} <> '{UPDATE}'", *(f"n{i} IS DISTINCT FROM o{i}" for i in free)]
    if policies.append_only:
        found.append(f"{CHANGE} <> '{INSERT}'")
    if policies.owner is not None:
        found.append(f"NOT {_owns(policies.owner, schema.columns[policies.owner].type, writer)}")
    if not policies.may_write(ROW, writer):
        found.append(f"{CHANGE} <> '{UPDATE}'")
    found += [
        f"({CHANGE} = '{UPDATE}' AND n{i} IS DISTINCT FROM o{i})"
        for i in range(len(schema.columns))
        if policies.preferred and not policies.may_write(i, writer)
    ]
    return "(" + " OR ".join(found) + ")" if found else None


def forbidden_keys(engine: Engine, delta: Delta, condition: str) -> pa.Table:
    """The keys of the changes for which a condition of ``forbidden_change`` holds."""
    found = engine.table(f"SELECT * FROM _ps_d WHERE {condition}", _ps_d=delta.table)
    return Delta(delta.schema, _cast(found, delta.table.schema)).keys()


def _owns(owner: int, logical: str, writer: Writer) -> str:
    value = f"CASE WHEN {CHANGE} = '{INSERT}' THEN n{owner} ELSE o{owner} END"
    # A uuid has 16 bytes there, and its digits stand in groups in a name.
    digits = f"lower(hex({value}))"
    groups = [f"substr({digits}, {first}, {size})" for first, size in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))]
    text = " || '-' || ".join(groups) if logical == "uuid" else f"CAST({value} AS VARCHAR)"
    ways = [f"{text} IS NULL", f"{text} = {literal(writer.store)}"]
    if writer.store.isascii() and writer.store.isdigit():
        number = literal(writer.store.lstrip("0"))
        ways.append(f"(regexp_full_match({text}, '[0-9]+') AND ltrim({text}, '0') = {number})")
    return "(" + " OR ".join(ways) + ")"


def keys_in(schema: TableSchema, outcomes: pa.Table) -> pa.Table:
    """The keys of outcomes, in the columns of the key."""
    arrow = patch_schema(schema)
    indexes: Sequence[int] = [schema.names.index(name) for name in schema.key]
    columns = [pc.coalesce(outcomes.column(f"n{i}"), outcomes.column(f"o{i}")) for i in indexes]
    return pa.table(columns, schema=pa.schema([arrow.field(name) for name in schema.key]))


def _number_of(outcomes: pa.Table, outcome: str) -> int:
    return pc.sum(pc.equal(outcomes.column(OUTCOME), outcome)).as_py() or 0


def _all_there(i: int) -> str:
    return f"(o{i} IS NOT NULL AND x{i} IS NOT NULL AND n{i} IS NOT NULL)"


def _outcome_schema(schema: TableSchema) -> pa.Schema:
    fields = [pa.field(OUTCOME, pa.string())]
    for i, field in enumerate(patch_schema(schema)):
        if field.name != CHANGE:
            fields += [pa.field(f"{side}{i}", field.type) for side in "onxr"]
    return pa.schema(fields)


def _cast(table: pa.Table, arrow: pa.Schema) -> pa.Table:
    return pa.Table.from_batches([as_rows(batch, arrow) for batch in table.to_batches()], schema=arrow)
