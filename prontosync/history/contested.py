"""Constraints and the values that touched rows contest under them: from rows in tables to numbers, by sets."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from prontosync.engine.connection import Engine
from prontosync.history.contests import FOREIGN_KEY, UNIQUE, VALUE, Cause, Contest, Links, References, Uniqueness
from prontosync.history.holders import Place, distinct, holders
from prontosync.history.likeness import forms, own_form
from prontosync.history.touched import Touched
from prontosync.model.keys import key_to_text
from prontosync.model.schema import ForeignKey, TableSchema
from prontosync.model.values import Row
from prontosync.tables.reader import StoredTable


class Rule(Protocol):
    """A constraint with what is contested under it."""

    @property
    def kind(self) -> str:
        """ "foreign-key" or "unique"."""
        ...

    @property
    def tables(self) -> frozenset[str]:
        """The tables whose rows it is about."""
        ...

    @property
    def contest(self) -> Contest: ...

    def detail(self, row: int, cause: Cause, held: Container[int]) -> str:
        """Why a row is held, for people."""
        ...


def foreign_keys(tables: Mapping[str, StoredTable], name: str) -> Iterator[ForeignKey]:
    """Those of a table that can be tested: the parent is there, and how values compare is known."""
    for key in tables[name].schema.foreign_keys:
        parent = tables.get(key.table)
        if parent is None or not key.parent or len(key.parent) != len(key.columns):
            continue
        pairs = list(zip(key.columns, key.parent, strict=True))
        if set(key.parent) <= set(parent.schema.names) and all(
            forms(tables[name], mine, parent, theirs) is not None for mine, theirs in pairs
        ):
            yield key


def uniques(schema: TableSchema) -> tuple[tuple[str, ...], ...]:
    """The sets of columns in which two rows must not be equal; the key is one where its values may be so in SQLite
    without being the same, as 1 and 1.0 are."""
    among_any = any(logical == "any" for _, logical in schema.key_types)
    return (*schema.uniques, schema.key) if among_any else schema.uniques


def places_of(tables: Mapping[str, StoredTable], name: str, key: ForeignKey) -> tuple[Place, Place]:
    """Where a foreign key's child and parent hold its values."""
    child, parent = tables[name], tables[key.table]
    both = [forms(child, mine, parent, theirs) for mine, theirs in zip(key.columns, key.parent, strict=True)]
    mine = tuple(pair[0] for pair in both if pair is not None)
    theirs = tuple(pair[1] for pair in both if pair is not None)
    return Place(child, key.columns, mine), Place(parent, key.parent, theirs)


def contests_of(engine: Engine, tables: Mapping[str, StoredTable], moves: Mapping[str, Touched]) -> list[Rule]:
    """For each constraint under which touched rows may break something, what they contest."""
    found: list[Rule] = []
    for name, table in tables.items():
        for key in foreign_keys(tables, name):
            if name in moves or key.table in moves:
                reference = _references(engine, tables, moves, name, key)
                if reference is not None:
                    found.append(reference)
        for columns in uniques(table.schema) if name in moves else ():
            unique = _uniqueness(engine, moves[name], columns)
            if unique is not None:
                found.append(unique)
    return found


class _Side:
    """The touched rows of one side of a constraint, none where its table has none."""

    def __init__(self, engine: Engine, moves: Touched | None, place: Place) -> None:
        self._engine, self._moves, self.place = engine, moves, place
        none = pa.schema([(f"k{i}", place.table.arrow.field(n).type) for i, n in enumerate(place.table.schema.key)])
        self.moved = moves.moved(engine, place) if moves else none.empty_table()

    def coming(self) -> pa.Table | None:
        return self._moves.coming(self._engine, self.place) if self._moves else None

    def going(self) -> pa.Table | None:
        return self._moves.going(self._engine, self.place) if self._moves else None

    def staying(self, values: pa.Table) -> pa.Table:
        """Of values those that rows hold which do not move."""
        return holders(self._engine, self.place, values, self.moved)


@dataclass(frozen=True)
class _Reference:
    """A foreign key. ``needing`` has for values that rows refer to which do not move the key of one of them."""

    name: str
    key: ForeignKey
    contest: References
    child: Touched | None
    parent: Touched | None
    schemas: tuple[TableSchema, TableSchema]
    needing: Mapping[int, Row]
    kind: str = FOREIGN_KEY

    @property
    def tables(self) -> frozenset[str]:
        return frozenset([self.name, self.key.table])

    def detail(self, row: int, cause: Cause, held: Container[int]) -> str:
        child, parent = self.schemas
        columns = ", ".join(self.key.columns)
        if not cause.going:
            assert self.child is not None
            value = _text(self.child.values(row, "n", self.key.columns), child, self.key.columns)
            return f'foreign key ({columns}): table "{self.key.table}" has no row for {value}'
        assert self.parent is not None
        value = _text(self.parent.values(row, "o", self.key.parent), parent, self.key.parent)
        needing = self.needing.get(cause.value)
        if needing is None:
            assert self.child is not None
            needing = self.child.key(next(r for r in self.contest.left.rows(cause.value) if r in held))
        who = _text(needing, child, child.key)
        return f'foreign key ({columns}) of table "{self.name}": its row ({who}) refers to {value}'


@dataclass(frozen=True)
class _Unique:
    """Unique columns. ``taken`` has for values that rows hold which do not move the key of one of them."""

    columns: tuple[str, ...]
    contest: Uniqueness
    moves: Touched
    taken: Mapping[int, Row]
    kind: str = UNIQUE

    @property
    def tables(self) -> frozenset[str]:
        return frozenset([self.moves.table.name])

    def detail(self, row: int, cause: Cause, held: Container[int]) -> str:
        schema = self.moves.table.schema
        others = [r for r in self.contest.leave.rows(cause.value) if r in held and r != row]
        others += [r for r in self.contest.come.rows(cause.value) if r != row]
        taken = self.taken.get(cause.value)
        who = _text(self.moves.key(others[0]) if taken is None else taken, schema, schema.key)
        value = _text(self.moves.values(row, "n", self.columns), schema, self.columns)
        return f"unique ({', '.join(self.columns)}): row ({who}) has {value} too"


def _references(
    engine: Engine, tables: Mapping[str, StoredTable], moves: Mapping[str, Touched], name: str, key: ForeignKey
) -> _Reference | None:
    child_place, parent_place = places_of(tables, name, key)
    child = _Side(engine, moves.get(name), child_place)
    parent = _Side(engine, moves.get(key.table), parent_place)
    numbered = _Numbered(engine, child_place)
    children, leaving = child.coming(), parent.going()
    referred = [rows for rows in (children, leaving) if rows is not None]
    if not any(rows.num_rows for rows in referred):
        return None
    # A key that goes cannot be another row's; other columns may be held by several.
    looked_up = [rows for rows in referred if rows is not leaving or not parent_place.is_key]
    staying = parent.staying(numbered.distinct(looked_up)) if looked_up else None
    if not numbered.number(referred, staying):
        return None
    leaving = numbered.numbered(leaving)
    needing = numbered.keys(child.staying(numbered.distinct([leaving]))) if leaving.num_rows else {}
    parents, children = numbered.numbered(parent.coming()), numbered.numbered(children)
    starting = engine.table(
        f"SELECT DISTINCT {VALUE} FROM (SELECT {VALUE} FROM _ps_c UNION ALL SELECT n AS {VALUE} FROM _ps_n)"
        f" ANTI JOIN _ps_p USING ({VALUE})",
        _ps_c=children,
        _ps_n=pa.table({"n": pa.array(list(needing), pa.int64())}),
        _ps_p=parents,
    )
    left = numbered.numbered(child.going() if leaving.num_rows else None)
    contest = References(
        Links(engine, children),
        Links(engine, parents),
        Links(engine, leaving),
        Links(engine, left),
        set(needing),
        starting.column(VALUE).to_pylist(),
    )
    schemas = tables[name].schema, tables[key.table].schema
    return _Reference(name, key, contest, moves.get(name), moves.get(key.table), schemas, needing)


def _uniqueness(engine: Engine, moves: Touched, columns: tuple[str, ...]) -> _Unique | None:
    table = moves.table
    place = Place(table, columns, tuple(own_form(table.schema.type_of(name)) for name in columns))
    side = _Side(engine, moves, place)
    numbered = _Numbered(engine, place)
    come = moves.coming(engine, place)
    if not come.num_rows:
        return None
    staying = side.staying(numbered.distinct([come]))
    leave = moves.going(engine, place)
    contested = engine.table(
        f"SELECT {place.values} FROM (SELECT DISTINCT {place.values} FROM _ps_c) SEMI JOIN"
        f" (SELECT {place.values} FROM _ps_s UNION ALL SELECT {place.values} FROM _ps_l UNION ALL"
        f" SELECT {place.values} FROM _ps_c GROUP BY {place.values} HAVING count(*) > 1) USING ({place.values})",
        _ps_c=come,
        _ps_s=staying,
        _ps_l=leave,
    )
    if not numbered.number([contested], None):
        return None
    taken = numbered.keys(staying)
    pairs = numbered.numbered(come)
    starting = engine.table(
        f"SELECT {VALUE} FROM _ps_c LEFT JOIN _ps_t USING ({VALUE}) GROUP BY {VALUE}"
        f" HAVING count(*) + count(DISTINCT t) > 1",
        _ps_c=pairs,
        _ps_t=pa.table({VALUE: pa.array(list(taken), pa.int64()), "t": pa.array([1] * len(taken), pa.int8())}),
    )
    contest = Uniqueness(
        Links(engine, pairs), Links(engine, numbered.numbered(leave)), taken, starting.column(VALUE).to_pylist()
    )
    return _Unique(columns, contest, moves, taken)


class _Numbered:
    """The values that are contested at a place, numbered in their order."""

    def __init__(self, engine: Engine, place: Place) -> None:
        self._engine, self._place = engine, place
        self._values = pa.table({})

    def distinct(self, rows: list[pa.Table]) -> pa.Table:
        return distinct(self._engine, self._place, rows)

    def number(self, rows: list[pa.Table], settled: pa.Table | None) -> bool:
        """Number the values in ``rows`` that are not among the settled ones; whether there are any."""
        v = self._place.values
        values = self.distinct(rows)
        others = "" if settled is None else f"ANTI JOIN _ps_s USING ({v})"
        self._values = self._engine.table(
            f"SELECT row_number() OVER (ORDER BY {v}) - 1 AS {VALUE}, {v} FROM _ps_v {others}",
            _ps_v=values,
            _ps_s=values if settled is None else settled,
        )
        return bool(self._values.num_rows)

    def numbered(self, rows: pa.Table | None) -> pa.Table:
        """Rows with their values' numbers beside, those with other values left out."""
        if rows is None:
            return pa.table({"_ps_row": pa.array([], pa.int64()), VALUE: pa.array([], pa.int64())})
        query = f"SELECT r.*, {VALUE} FROM _ps_r r JOIN _ps_v v USING ({self._place.values})"
        return self._engine.table(query, _ps_r=rows, _ps_v=self._values)

    def keys(self, found: pa.Table) -> dict[int, Row]:
        """What ``holders`` found, by the values' numbers: the keys."""
        rows = self.numbered(found)
        names = [name for name in rows.column_names if name.startswith("k")]
        keys = zip(*(rows.column(name).to_pylist() for name in names), strict=True)
        return dict(zip(rows.column(VALUE).to_pylist(), keys, strict=True))


def _text(values: Row, schema: TableSchema, columns: tuple[str, ...]) -> str:
    return key_to_text(values, TableSchema(schema.columns, columns))
