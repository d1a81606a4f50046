"""The changes of many branches of one table, looked up together: most have the same base, whose rows are read once.

A branch is usually its base with patches laid over it. Then the patches say which rows may have changed, and what they
are now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile

import pyarrow as pa
import pyarrow.compute as pc

from prontosync.engine.connection import Engine
from prontosync.model.changes import CHANGE, DELETE, INSERT, UPDATE
from prontosync.model.ids import ObjectId
from prontosync.model.schema import TableSchema
from prontosync.tables.compare import Delta, delta_schema
from prontosync.tables.keyset import in_order, occurrences, sort_order, split
from prontosync.tables.order import as_rows
from prontosync.tables.reader import StoredTable

Pair = tuple[int, StoredTable, StoredTable]
"""A branch's number, its base and its state."""

_Patched = tuple[int, StoredTable, pa.Table]
"""The same with the patch that is laid over the base."""

_SIDE = "_ps_side"


def changes_of(
    engine: Engine, schema: TableSchema, pairs: Sequence[Pair], most: int
) -> Iterator[dict[int, Delta | None]]:
    """The changes of branches by their numbers, in key order; some branches at a time, in the order given. All tables
    have the columns and key of ``schema``. None for one that is not its base with patches laid over it, or that has
    more than ``most`` changes."""
    held: dict[tuple[ObjectId, ...], list[_Patched]] = defaultdict(list)
    others: dict[int, Delta | None] = {}
    rows = 0
    for number, base, theirs in pairs:
        patch = _patch_over(base, theirs) if base.schema.names == theirs.schema.names == schema.names else None
        if patch is None or patch.num_rows > most:
            others[number] = None
            continue
        held[base.state.checkpoint, *base.state.patches].append((number, base, patch))
        rows += patch.num_rows
        if rows > most:
            yield {**others, **_found(engine, schema, held)}
            held.clear()
            others.clear()
            rows = 0
    yield {**others, **_found(engine, schema, held)}


def _patch_over(base: StoredTable, theirs: StoredTable) -> pa.Table | None:
    """The changes that make theirs of its base; None where they are not at hand."""
    a, b = base.state, theirs.state
    if a.checkpoint != b.checkpoint:
        return None
    alike = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(a.patches, b.patches, strict=False))))
    patch, gone = theirs.patch_after(alike), base.patch_after(alike)
    if patch is None or gone is None:
        return patch
    # Patches of the base that were gathered with newer ones: then each of their rows is in what they became.
    return None if split(gone, patch, base.schema.key)[1].num_rows else patch


def _found(
    engine: Engine, schema: TableSchema, held: Mapping[tuple[ObjectId, ...], Sequence[_Patched]]
) -> dict[int, Delta]:
    nothing = Delta(schema, delta_schema(schema).empty_table())
    found = {number: nothing for some in held.values() for number, _, _ in some}
    for some in held.values():
        patches = pa.concat_tables(
            [patch.append_column(_SIDE, pa.repeat(pa.scalar(number), len(patch))) for number, _, patch in some]
        )
        keys = patches.select(schema.key)
        keys = in_order(keys.filter(pc.equal(occurrences(keys, schema.key), 0)), schema.key)
        found |= _compared(engine, schema, some[0][1].rows_at(keys), patches)
    return found


def _compared(engine: Engine, schema: TableSchema, old: pa.Table, patches: pa.Table) -> dict[int, Delta]:
    """By branch, what its patch changes of rows of the base."""
    names = range(len(schema.names))
    plain = pa.table([*(old.column(n) for n in schema.names)], names=[f"o{i}" for i in names])
    kinds, sides = patches.column(CHANGE), patches.column(_SIDE)
    columns = [*(patches.column(n) for n in schema.names), kinds, sides]
    new = pa.table(columns, names=[*(f"n{i}" for i in names), "kind", "side"])
    on = " AND ".join(f"o{schema.names.index(n)} = n{schema.names.index(n)}" for n in schema.key)
    differs = " OR ".join(f"o{schema.names.index(n)} IS DISTINCT FROM n{schema.names.index(n)}" for n in schema.values)
    cells = ", ".join(f"o{i}, CASE WHEN kind <> '{DELETE}' THEN n{i} END AS n{i}" for i in names)
    result = engine.table(
        f"SELECT CASE WHEN op IS NULL THEN '{INSERT}' WHEN kind = '{DELETE}' THEN '{DELETE}' ELSE '{UPDATE}' END "
        f"AS {CHANGE}, {cells}, side FROM _ps_n LEFT JOIN (SELECT *, true AS op FROM _ps_o) ON {on} "
        f"WHERE (op IS NULL AND kind <> '{DELETE}') OR (op AND (kind = '{DELETE}' OR {differs or 'false'}))",
        _ps_n=new,
        _ps_o=plain,
    )
    return _by_side(schema, result)


def _by_side(schema: TableSchema, result: pa.Table) -> dict[int, Delta]:
    arrow = delta_schema(schema)
    sides = result.column("side").combine_chunks()
    rows = result.drop_columns(["side"])
    rows = pa.Table.from_batches([as_rows(batch, arrow) for batch in rows.to_batches()], schema=arrow)
    order = sort_order(Delta(schema, rows).keys(), schema.key)
    order = order.take(pc.sort_indices(sides.take(order)))  # a stable sort: in key order within each branch
    rows = rows.take(order)
    found, start = {}, 0
    counts = {entry["values"]: entry["counts"] for entry in sides.value_counts().to_pylist()}
    for number, count in sorted(counts.items()):
        found[number] = Delta(schema, rows.slice(start, count))
        start += count
    return found
