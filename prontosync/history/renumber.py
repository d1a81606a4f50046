"""A state in which some rows have other keys: they move, and whatever refers to them follows, through foreign keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from prontosync.disk.objects import ObjectStore
from prontosync.engine.connection import Engine, quoted
from prontosync.history.commits import Tree
from prontosync.history.disputes import (
    Dispute,
    Disputes,
    Key,
    keys_table,
    name_order,
    read_disputes,
    rows_by_key,
    write_disputes,
)
from prontosync.history.redirect import Moves, Redirect, is_of, rekeyed, split_dispute
from prontosync.history.row_patch import row_patch
from prontosync.history.sets import Rows, candidates
from prontosync.model.changes import CHANGE, DELETE, UPSERT
from prontosync.model.schema import ForeignKey, TableSchema, differences
from prontosync.model.values import Row, Value, canonical, restored
from prontosync.tables.columns import columns_of
from prontosync.tables.keyset import in_order, split
from prontosync.tables.order import as_rows
from prontosync.tables.patch import patch_schema
from prontosync.tables.reader import StoredTable
from prontosync.tables.states import store_changes

_NEW = "_ps_new"


@dataclass(frozen=True)
class Shift:
    """One key of a table that becomes another; they differ in the key's last column. ``shared``: the row is in dispute
    between those of two places, and only one of them moves. ``dispute`` is then what was in dispute, where the state
    itself does not say so any more."""

    table: str
    old: Key
    new: Key
    shared: bool = False
    dispute: Dispute | None = None


@dataclass(frozen=True)
class Sharing:
    """How rows of two places are told apart in a state that has both: candidates from ``branch`` are that store's,
    those that are in ``main`` head office's, as are rows that refer to the same in one of them. ``store_moves`` says
    whose move."""

    branch: str
    main: Sequence[Tree]
    store_moves: bool


def renumbered(
    store: ObjectStore,
    engine: Engine,
    tree: Tree,
    shifts: Sequence[Shift],
    sharing: Sharing,
    wanted: Callable[[str], bool] = lambda name: True,
) -> Tree:
    """``tree`` with these shifts. A shift to a key that is taken is left out. Of tables that are not ``wanted`` only
    those are written whose own keys change."""
    rewriting = _Rewriting(store, engine, tree, sharing, wanted)
    for name in dict.fromkeys(shift.table for shift in shifts):
        for shared in (False, True):
            rewriting.shift(name, [s for s in shifts if s.table == name and s.shared == shared], shared)
    return rewriting.tree()


def can_follow(
    schemas: Mapping[str, TableSchema], name: str, column: str, seen: Set[tuple[str, str]] = frozenset()
) -> bool:
    """Whether everything that refers to a table by a column of its key could be told its new value: the references are
    to the whole key, and have its types. ``seen`` are those that were looked at."""
    if (name, column) in seen:
        return True
    for child, key in references(schemas, name, column):
        mine, parent = schemas[child], schemas[name]
        if set(key.parent) != set(parent.key) or len(key.parent) != len(key.columns):
            return False
        pairs = zip(key.columns, key.parent, strict=True)
        if any(mine.type_of(a) != parent.type_of(b) for a, b in pairs):
            return False
        own = key.columns[key.parent.index(column)]
        if own in mine.key and not can_follow(schemas, child, own, {*seen, (name, column)}):
            return False
    return True


def references(schemas: Mapping[str, TableSchema], name: str, column: str) -> Iterator[tuple[str, ForeignKey]]:
    """The foreign keys, by the table that has them, that refer to a column of a table."""
    for child in sorted(schemas):
        for key in schemas[child].foreign_keys:
            if key.table == name and column in key.parent:
                yield child, key


class _Rewriting:
    """Table by table what has become of a state."""

    def __init__(
        self, store: ObjectStore, engine: Engine, tree: Tree, sharing: Sharing, wanted: Callable[[str], bool]
    ) -> None:
        self._store, self._engine, self._before = store, engine, tree
        self._sharing, self._wanted = sharing, wanted
        self._tables: dict[str, _Table] = {}
        self._schemas = {name: self._stored(tree, name).schema for name in tree.tables}

    def tree(self) -> Tree:
        tables, conflicts = dict(self._before.tables), dict(self._before.conflicts)
        for name, table in self._tables.items():
            tables[name] = table.stored.state
            conflicts.pop(name, None)
            if (identity := write_disputes(self._store, table.disputes)) is not None:
                conflicts[name] = identity
        return replace(self._before, tables=tables, conflicts=conflicts)

    def shift(self, name: str, shifts: Sequence[Shift], shared: bool) -> None:
        if not shifts or name not in self._before.tables:
            return
        table = self._table(name)
        taken = table.present([shift.new for shift in shifts])
        free = [shift for shift in shifts if shift.new not in taken]
        for shift in free:
            if shift.dispute is not None:
                table.disputes.rows[shift.old] = shift.dispute
        column = table.stored.schema.key[-1]
        self._move(name, column, {shift.old: shift.new for shift in free}, shared)

    def _move(self, name: str, column: str, moves: Mapping[Key, Key], shared: bool) -> None:
        """Rows to their new keys, which differ from the old ones in ``column``, and what refers to them."""
        if not moves:
            return
        table = self._table(name)
        schema = table.stored.schema
        plain = {old: new for old, new in moves.items() if old not in table.disputes.rows}
        index = schema.key.index(column)
        table.replace(self._engine, _mapping(schema, schema.key, plain, range(len(schema.key)), index), column)
        at = schema.names.index(column)
        for old in moves.keys() - plain.keys():
            self._move_disputed(table, old, moves[old], at, shared)
        for child, key in references(self._schemas, name, column):
            self._follow(child, key, schema, column, moves, shared)

    def _move_disputed(self, table: _Table, old: Key, new: Key, at: int, shared: bool) -> None:
        schema = table.stored.schema
        dispute = table.disputes.rows.pop(old)
        value = new[schema.key.index(schema.names[at])]
        staying = None
        moving: Dispute | None = dispute
        if shared:
            moving, staying = split_dispute(dispute, self._chosen(table.stored.name, old, dispute))
        table.settle(old, staying)
        table.settle(new, rekeyed(moving, at, value) if moving else None)

    def _follow(
        self, name: str, key: ForeignKey, parent: TableSchema, column: str, moves: Mapping[Key, Key], shared: bool
    ) -> None:
        """The rows of a child table that refer to what moves."""
        table = self._table(name)
        schema = table.stored.schema
        own = key.columns[key.parent.index(column)]
        if not (self._wanted(name) or own in schema.key):
            return
        order = [parent.key.index(part) for part in key.parent]
        mapping = _mapping(schema, key.columns, moves, order, parent.key.index(column))
        found = _referring(table.stored, key.columns, mapping)
        if shared:
            both = keys_table(schema, table.met() if own in schema.key else ())
            split_rows, others = split(found, both, schema.key)
            found = pa.concat_tables([split_rows, self._shared(name, key.columns, others).select(found.column_names)])
        redirect = Redirect(
            [schema.names.index(part) for part in key.columns],
            schema.names.index(own),
            {tuple(old[i] for i in order): new[parent.key.index(column)] for old, new in moves.items()},
        )
        if own in schema.key:
            self._move(name, own, self._with_own(table, found, redirect, own), shared)
            return
        _, plain = split(found, table.disputes.keys_table(), schema.key)
        rows = table.stored.rows_at(plain.select(schema.key))
        table.replace_rows(self._engine, rows, key.columns, mapping, own)
        chosen = {*rows_by_key(_only(schema, schema.key), found)}
        for disputed in list(table.disputes.rows):
            dispute = table.disputes.rows[disputed]
            moves_too = self._chosen(name, disputed, dispute) if shared else _every
            followed = redirect.dispute(dispute, moves_too, not shared or disputed in chosen)
            if followed is not dispute:
                table.settle(disputed, followed)

    def _chosen(self, name: str, key: Key, dispute: Dispute) -> Moves:
        """Which candidates of a row are the moved side's."""
        if self._sharing.store_moves:
            return lambda row: is_of(dispute, row, self._sharing.branch)
        schema = self._schemas[name]
        heads: set[Row | None] = set()
        for tree in self._sharing.main:
            table = self._stored(tree, name) if name in tree.tables else None
            if table is not None and not differences(schema, table.schema):
                known = read_disputes(table, tree.conflicts.get(name)).in_columns(schema)
                row = rows_by_key(schema, table.rows_at(keys_table(schema, [key])).select(schema.names)).get(key)
                heads |= candidates(known.state(key, row)) - {None}
        return lambda row: row in heads

    def _with_own(self, table: _Table, found: pa.Table, redirect: Redirect, own: str) -> dict[Key, Key]:
        """The new keys of rows that have in their key what they refer to."""
        schema = table.stored.schema
        columns = [schema.names[i] for i in redirect.columns]
        names = [*schema.key, *(name for name in columns if name not in schema.key)]
        moves = {}
        for row in zip(*(found.column(name).to_pylist() for name in names), strict=True):
            values = dict(zip(names, map(canonical, row), strict=True))
            new = redirect.values[tuple(values[name] for name in columns)]
            old = tuple(values[name] for name in schema.key)
            moves[old] = tuple(new if name == own else values[name] for name in schema.key)
        return moves

    def _shared(self, name: str, columns: Sequence[str], found: pa.Table) -> pa.Table:
        """Of rows that refer to a key which stands for two rows, those that mean the one that moves."""
        key = self._schemas[name].key
        both = list(dict.fromkeys([*key, *columns]))
        theirs = [self._stored(tree, name) for tree in self._sharing.main if name in tree.tables]
        main, others = found.slice(0, 0), found
        for table in theirs:
            rows = table.rows_at(others.select(key)).select(both)
            same = rows.filter(_given(rows, columns))
            some, others = split(others.select(both), same, both) if same.num_rows else (others.slice(0, 0), others)
            main = pa.concat_tables([main.select(both), some.select(both)])
        return in_order(others if self._sharing.store_moves else main, key)

    def _table(self, name: str) -> _Table:
        if name not in self._tables:
            stored = self._stored(self._before, name)
            self._tables[name] = _Table(stored, read_disputes(stored, self._before.conflicts.get(name)))
        return self._tables[name]

    def _stored(self, tree: Tree, name: str) -> StoredTable:
        return StoredTable(self._store, self._engine, name, tree.tables[name])


class _Table:
    """One table as it is by now."""

    def __init__(self, stored: StoredTable, disputes: Disputes) -> None:
        self.stored, self.disputes = stored, Disputes(stored.schema, disputes.rows)

    def present(self, keys: Sequence[Key]) -> set[Key]:
        """Of these keys those that a row has, or that are in dispute."""
        rows = rows_by_key(self.stored.schema, self.stored.rows_at(keys_table(self.stored.schema, keys)))
        return {*rows, *(key for key in keys if key in self.disputes.rows)}

    def met(self) -> list[Key]:
        """The keys under which two places made a row."""
        states = {key: dispute.state for key, dispute in self.disputes.rows.items()}
        return [key for key, state in states.items() if isinstance(state, Rows) and None not in state.rows]

    def replace(self, engine: Engine, mapping: pa.Table, column: str) -> None:
        """Move rows: ``mapping`` has their keys, and what they have in a column of the key from now on."""
        schema = self.stored.schema
        old = self.stored.rows_at(mapping.select(schema.key)) if mapping.num_rows else mapping
        if old.num_rows:
            self._lay(_replaced(engine, old, schema.key, mapping, column), old)

    def replace_rows(
        self, engine: Engine, rows: pa.Table, columns: Sequence[str], mapping: pa.Table, column: str
    ) -> None:
        """Give rows another value in a column outside the key."""
        if rows.num_rows:
            self._lay(_replaced(engine, rows, columns, mapping, column), rows.slice(0, 0))

    def settle(self, key: Key, dispute: Dispute | None) -> None:
        """What is in dispute about a row, or that it is not there."""
        schema = self.stored.schema
        self.disputes.rows.pop(key, None)
        shown = dispute.shows(name_order(schema)) if dispute is not None else None
        if dispute is not None and dispute.open:
            self.disputes.rows[key] = dispute
        there = rows_by_key(schema, self.stored.rows_at(keys_table(schema, [key]))).get(key)
        if shown != there:
            patch = row_patch(schema, [shown] if shown else [], [there] if there and not shown else [])
            self._store(patch)

    def _lay(self, upserts: pa.Table, deletes: pa.Table) -> None:
        schema = self.stored.schema
        field = patch_schema(schema).field(CHANGE)
        parts = [
            rows.append_column(field, pa.array([kind] * rows.num_rows, pa.string()))
            for rows, kind in ((upserts, UPSERT), (deletes, DELETE))
        ]
        self._store(in_order(pa.concat_tables(parts), schema.key))

    def _store(self, patch: pa.Table) -> None:
        before = self.stored
        self.stored = StoredTable(before.store, before.engine, before.name, store_changes(before, patch))


def _every(row: Row | None) -> bool:
    return True


def _mapping(
    schema: TableSchema, columns: Sequence[str], moves: Mapping[Key, Key], order: Sequence[int], changed: int
) -> pa.Table:
    """Old keys as ``columns`` of a table hold them, in key order, and beside each the new value of the part that
    changed: ``_NEW``."""
    from prontosync.engine.arrow import arrow_schema

    arrow = arrow_schema(schema)
    fields = [arrow.field(name) for name in columns]
    values: list[list[Value]] = [[restored(old[i]) for old in moves] for i in order]
    new = pa.field(_NEW, fields[list(order).index(changed)].type)
    arrays = [pa.array(v, f.type) for v, f in zip(values, fields, strict=True)]
    fresh = pa.array([restored(key[changed]) for key in moves.values()], new.type)
    return in_order(pa.table([*arrays, fresh], schema=pa.schema([*fields, new])), list(columns))


def _replaced(engine: Engine, rows: pa.Table, columns: Sequence[str], mapping: pa.Table, column: str) -> pa.Table:
    on = " AND ".join(f"r.{quoted(name)} = m.{quoted(name)}" for name in columns)
    query = f"SELECT r.* REPLACE (m.{_NEW} AS {quoted(column)}) FROM _ps_r r JOIN _ps_m m ON {on}"
    found = engine.table(query, _ps_r=rows, _ps_m=mapping)
    return pa.Table.from_batches([as_rows(b, rows.schema) for b in found.to_batches()], schema=rows.schema)


def _referring(table: StoredTable, columns: Sequence[str], mapping: pa.Table) -> pa.Table:
    """The key, and these columns, of the rows in which they have one of the mapping's values; in key order."""
    key = table.schema.key
    names = list(dict.fromkeys([*key, *columns]))
    prefix: list[str] = []
    for name in key:
        if name not in columns:
            break
        prefix.append(name)
    near = mapping.select(prefix) if prefix else None
    found = [table.arrow.empty_table().select(names)]
    for rows in columns_of(table, names, near):
        given = rows.filter(_given(rows, columns))
        found.append(split(given, mapping, list(columns))[0].select(names))
    return in_order(pa.concat_tables(found), key)


def _given(rows: pa.Table, columns: Sequence[str]) -> pa.ChunkedArray:
    """For each row whether none of these columns is NULL."""
    mask = pc.is_valid(rows.column(columns[0]))
    for name in columns[1:]:
        mask = pc.and_(mask, pc.is_valid(rows.column(name)))
    return mask


def _only(schema: TableSchema, names: Sequence[str]) -> TableSchema:
    return TableSchema(tuple(c for c in schema.columns if c.name in names), schema.key)
