"""Held rows against the rules on plain dicts, and against SQLite itself: any keys, references, segments and patches."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prontosync.history.constraints import Breaches, breaches
from prontosync.history.orphans import orphans
from prontosync.model.schema import Column, Ddl, ForeignKey, TableSchema
from prontosync.model.values import Row
from prontosync.sources.trial import SqliteTrial
from prontosync.tables.layout import LIMITS, Limits
from prontosync.tables.reader import StoredTable
from prontosync.tables.states import store_changes, store_rows
from tests.fixtures.rows import Keeper, as_table, one_batch, patch_between, small_ranges

TINY = Limits(rows=2, bytes=2_000)
DECLARED = {"int64": "INTEGER", "text": "TEXT", "any": "", "float64": "REAL", "bool": "BOOLEAN"}
VALUES: dict[str, tuple[Any, ...]] = {
    "int64": (0, 1, 2, 3, 4),
    "text": ("0", "1", "2", "02", "1.0", "x"),
    "any": (b"i0", b"i1", b"r1.0", b"r2.5", b"t1", b"tx", b"bx"),
    "float64": (0.0, 1.0, 2.0, 2.5),
    "bool": (False, True),
}
TYPES = ("int64", "int64", "int64", "text", "text", "any", "float64", "bool")
FORBIDDEN = 4
"""What the CHECK of column "v" does not take."""

State = dict[str, dict[Row, Row]]
Held = dict[str, dict[Row, str]]


@pytest.fixture(scope="module")
def keeper() -> Iterator[Keeper]:
    kept = Keeper()
    yield kept
    kept.engine.close()


@dataclass(frozen=True)
class Case:
    schemas: Mapping[str, TableSchema]
    before: State
    after: State
    limits: Limits
    patches: bool


def cases() -> st.SearchStrategy[Case]:
    return st.integers(0, 2**32).map(case_of)


def case_of(seed: int) -> Case:
    rng = random.Random(seed)
    schemas = _schemas(rng)
    before: State = {name: {} for name in schemas}
    for name, schema in schemas.items():
        for _ in range(rng.randrange(9)):
            _put(before, name, schema, _row(schema, rng))
    after: State = {name: dict(rows) for name, rows in before.items()}
    for name, schema in schemas.items():
        share = rng.choice([0.0, 0.3, 0.8, 0.8])
        for key, row in list(after[name].items()):
            if rng.random() < share:
                if rng.random() < 0.4:
                    del after[name][key]
                else:
                    after[name][key] = _edited(schema, row, rng)
        for _ in range(rng.choice([0, 0, 2, 4])):
            row = _row(schema, rng)
            after[name][_key(schema, row)] = row
    return Case(schemas, before, after, rng.choice([TINY, LIMITS]), rng.random() < 0.5)


def _schemas(rng: random.Random) -> dict[str, TableSchema]:
    names = ("a", "b", 'c"d')[: rng.choice([1, 2, 2, 3])]
    plain = {}
    for name in names:
        columns = [Column(n, rng.choice(TYPES)) for n in ("id", "x", "y", "z")] + [Column("v", "int64")]
        key = tuple(rng.sample(["id", "x", "y"], rng.choice([1, 1, 2])))
        uniques = {tuple(rng.sample(["x", "y", "z"], rng.choice([1, 2]))) for _ in range(rng.randrange(3))}
        plain[name] = TableSchema(tuple(columns), key, (), tuple(sorted(u for u in uniques if u != key)))
    found = {}
    for name, schema in plain.items():
        foreign = [_foreign(plain, rng) for _ in range(rng.choice([0, 1, 1, 2]))]
        found[name] = TableSchema(schema.columns, schema.key, tuple(foreign), schema.uniques)
    return found


def _foreign(schemas: Mapping[str, TableSchema], rng: random.Random) -> ForeignKey:
    table = rng.choice(list(schemas))
    parent = rng.choice([schemas[table].key, schemas[table].key, *schemas[table].uniques])
    return ForeignKey(tuple(rng.sample(["id", "x", "y", "z"], len(parent))), table, parent)


def _row(schema: TableSchema, rng: random.Random) -> Row:
    return tuple(_value(schema, column, rng) for column in schema.columns)


def _value(schema: TableSchema, column: Column, rng: random.Random) -> Any:
    if column.name not in schema.key and rng.random() < 0.15:
        return None
    return rng.choice(VALUES[column.type])


def _edited(schema: TableSchema, row: Row, rng: random.Random) -> Row:
    return tuple(
        value if column.name in schema.key or rng.random() < 0.6 else _value(schema, column, rng)
        for column, value in zip(schema.columns, row, strict=True)
    )


def _key(schema: TableSchema, row: Row) -> Row:
    return tuple(row[schema.names.index(name)] for name in schema.key)


def _put(state: State, name: str, schema: TableSchema, row: Row) -> None:
    """Put a row in where it takes nobody's unique values, the key's among them, as a database compares them."""
    for columns in (schema.key, *schema.uniques):
        mine = _own(schema, row, columns)
        if mine is not None and any(_own(schema, other, columns) == mine for other in state[name].values()):
            return
    state[name][_key(schema, row)] = row


# The rules, on plain values.


def stored(value: Any) -> Any:
    """A value as SQLite holds it; those of ``any`` unwrapped."""
    if isinstance(value, bytes):
        tag, body = value[:1], value[1:]
        return {b"i": int, b"r": float, b"t": bytes.decode, b"b": bytes}[tag](body)
    return int(value) if isinstance(value, bool) else value


def _own(schema: TableSchema, row: Row, columns: tuple[str, ...]) -> Row | None:
    found = tuple(stored(row[schema.names.index(name)]) for name in columns)
    return None if None in found else tuple((isinstance(v, str), v) for v in found)


def _referred(child: TableSchema, row: Row, key: ForeignKey, parent: TableSchema) -> Row | None:
    """What a row refers to, as ``_own`` tells it of the parent."""
    found = []
    for name, theirs in zip(key.columns, key.parent, strict=True):
        value = stored(row[child.names.index(name)])
        if value is None:
            return None
        kind = parent.type_of(theirs)
        if kind in ("int64", "float64", "bool") and isinstance(value, str):
            value = _number(value)
        if kind == "text" and isinstance(value, int | float):
            value = str(value)
        found.append((isinstance(value, str), value))
    return tuple(found)


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


class Rules:
    """The rules read off their wording: everything is looked at again in every round."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.held: Held = {name: {} for name in case.schemas}

    def run(self) -> Held:
        for name, schema in self.case.schemas.items():
            for key in self.touched(name):
                if self._refused(schema, self.case.before[name].get(key), self.case.after[name].get(key)):
                    self.held[name][key] = "check"
        while self._hold(self.going(), "foreign-key") or self._hold_coming():
            pass
        return {name: rows for name, rows in self.held.items() if rows}

    def _hold_coming(self) -> bool:
        children, rows = self.children(), self.sharing()
        held = self._hold(children, "foreign-key")
        return self._hold(rows - children, "unique") or held

    def _hold(self, rows: set[tuple[str, Row]], kind: str) -> bool:
        for name, key in rows:
            self.held[name].setdefault(key, kind)
        return bool(rows)

    def touched(self, name: str) -> set[Row]:
        before, after = self.case.before[name], self.case.after[name]
        return {k for k in before.keys() | after.keys() if before.get(k) != after.get(k)}

    def now(self, name: str) -> dict[Row, Row]:
        before, after = self.case.before[name], self.case.after[name]
        mixed = {k: (before if k in self.held[name] else after).get(k) for k in before.keys() | after.keys()}
        return {k: row for k, row in mixed.items() if row is not None}

    def _refused(self, schema: TableSchema, old: Row | None, new: Row | None) -> bool:
        v = schema.names.index("v")
        return new is not None and new[v] == FORBIDDEN and (old is None or old[v] != FORBIDDEN)

    def _moved(self, name: str, key: Row, columns: tuple[str, ...]) -> bool:
        schema = self.case.schemas[name]
        old, new = self.case.before[name].get(key), self.case.after[name].get(key)
        if old is None or new is None:
            return True
        return any(repr(old[i]) != repr(new[i]) for i in map(schema.names.index, columns))

    def _keys(self) -> Iterator[tuple[str, TableSchema, ForeignKey, TableSchema]]:
        for name, schema in self.case.schemas.items():
            for key in schema.foreign_keys:
                yield name, schema, key, self.case.schemas[key.table]

    def going(self) -> set[tuple[str, Row]]:
        """Touched parents that go while a row refers to them whose reference is what it was."""
        found = set()
        for name, schema, key, parent in self._keys():
            there = {_own(parent, row, key.parent) for row in self.now(key.table).values()}
            for at in self.touched(key.table) - self.held[key.table].keys():
                old = self.case.before[key.table].get(at)
                value = _own(parent, old, key.parent) if old is not None else None
                if value is None or value in there or not self._moved(key.table, at, key.parent):
                    continue
                for other, row in self.now(name).items():
                    stays = other in self.held[name] or other not in self.touched(name)
                    stays = stays or not self._moved(name, other, key.columns)
                    if stays and _referred(schema, row, key, parent) == value:
                        found.add((key.table, at))
        return found

    def children(self) -> set[tuple[str, Row]]:
        found = set()
        for name, schema, key, parent in self._keys():
            there = {_own(parent, row, key.parent) for row in self.now(key.table).values()}
            for at in self.touched(name) - self.held[name].keys():
                row = self.now(name).get(at)
                value = _referred(schema, row, key, parent) if row is not None else None
                if value is not None and value not in there and self._moved(name, at, key.columns):
                    found.add((name, at))
        return found

    def sharing(self) -> set[tuple[str, Row]]:
        found = set()
        for name, schema in self.case.schemas.items():
            for columns in (*schema.uniques, schema.key):
                for at in self.touched(name) - self.held[name].keys():
                    row = self.now(name).get(at)
                    value = _own(schema, row, columns) if row is not None else None
                    if value is None or not self._moved(name, at, columns):
                        continue
                    if sum(_own(schema, other, columns) == value for other in self.now(name).values()) > 1:
                        found.add((name, at))
        return found


# The states as tables, and as a database.


def statement(name: str, schema: TableSchema, foreign: bool = True) -> str:
    quoted = '"' + name.replace('"', '""') + '"'
    columns = [f"{c.name} {DECLARED[c.type]}" for c in schema.columns]
    columns.append(f"CHECK (v <> {FORBIDDEN})")
    columns.append(f"PRIMARY KEY ({', '.join(schema.key)})")
    columns += [f"UNIQUE ({', '.join(unique)})" for unique in schema.uniques]
    if foreign:
        columns += [
            'FOREIGN KEY ({}) REFERENCES "{}" ({})'.format(
                ", ".join(key.columns), key.table.replace('"', '""'), ", ".join(key.parent)
            )
            for key in schema.foreign_keys
        ]
    return f"CREATE TABLE {quoted} ({', '.join(columns)})"


def stored_tables(keeper: Keeper, case: Case) -> tuple[dict[str, StoredTable], dict[str, StoredTable]]:
    before, after = {}, {}
    for name, schema in case.schemas.items():
        declared = {c.name: DECLARED[c.type] for c in schema.columns}
        ddl = Ddl("sqlite", (statement(name, schema),), declared)
        old, new = (as_table(schema, state[name].values()) for state in (case.before, case.after))

        def kept(rows: Any, parent: StoredTable | None, name: str = name, schema: Any = schema, ddl: Any = ddl) -> Any:
            batches = iter([one_batch(rows)])
            state = store_rows(
                keeper.store, keeper.engine, name, schema, ddl, batches, ordered=True, parent=parent, limits=case.limits
            ).state
            return StoredTable(keeper.store, keeper.engine, name, state)

        before[name] = kept(old, None)
        if case.patches:
            state = store_changes(before[name], patch_between(schema, old, new), limits=case.limits)
            after[name] = StoredTable(keeper.store, keeper.engine, name, state)
        else:
            after[name] = kept(new, before[name])
    return before, after


def found_by(keeper: Keeper, case: Case) -> Breaches:
    return breaches(keeper.engine, *stored_tables(keeper, case), SqliteTrial())


def as_held(found: Breaches) -> Held:
    return {name: {key: breach.kind for key, breach in rows.items()} for name, rows in found.rows.items()}


@settings(max_examples=40, deadline=None)
@given(cases())
def test_held_is_what_the_rules_say(keeper: Keeper, case: Case) -> None:
    found = found_by(keeper, case)
    assert as_held(found) == Rules(case).run()
    assert found.untested == {}
    with small_ranges(2):
        assert as_held(found_by(keeper, case)) == as_held(found)


@settings(max_examples=40, deadline=None)
@given(cases())
def test_what_is_shown_is_accepted_by_the_database(keeper: Keeper, case: Case) -> None:
    rules = Rules(case)
    for name, rows in found_by(keeper, case).rows.items():
        rules.held[name] = {key: breach.kind for key, breach in rows.items()}
        assert rows.keys() <= rules.touched(name)
        assert all(key == breach.key and breach.detail for key, breach in rows.items())
    shown = {name: rules.now(name) for name in case.schemas}
    before, after = violations(case, case.before), violations(case, shown)
    for name, at, key in after - before:
        pytest.fail(f"{name} {at} breaks {key} anew")
    for name, schema in case.schemas.items():
        v = schema.names.index("v")
        for key, row in shown[name].items():
            old = case.before[name].get(key)
            assert row[v] != FORBIDDEN or (old is not None and old[v] == FORBIDDEN)


@settings(max_examples=30, deadline=None)
@given(cases())
def test_orphans_are_counted_as_the_database_counts_them(keeper: Keeper, case: Case) -> None:
    before, _ = stored_tables(keeper, case)
    numbers: dict[str, list[int]] = {}
    for name, _, number in violations(case, case.before):
        numbers.setdefault(name, []).append(number)
    found = orphans(keeper.engine, before)
    assert all(count > 0 for count in found.values())
    for name, schema in case.schemas.items():
        counts = [found.get((name, key), 0) for key in dict.fromkeys(schema.foreign_keys)]
        if len(counts) == len(schema.foreign_keys):
            assert sorted(c for c in counts if c) == sorted(
                numbers.get(name, []).count(n) for n in set(numbers.get(name, []))
            )


def violations(case: Case, state: State) -> set[tuple[str, Row, int]]:
    """The rows without a parent, by SQLite's own check: table, key, number of the foreign key. Fails where a state does
    not go into the database at all, for the sake of unique values."""
    database = sqlite3.connect(":memory:")
    database.execute("PRAGMA ignore_check_constraints = ON")
    for name, schema in case.schemas.items():
        database.execute(statement(name, schema))
    places: dict[tuple[str, int | None], Row] = {}
    for name, rows in state.items():
        for key, row in rows.items():
            quoted = '"' + name.replace('"', '""') + '"'
            names = ", ".join(c.name for c in case.schemas[name].columns)
            values = [stored(value) for value in row]
            cursor = database.execute(f"INSERT INTO {quoted} ({names}) VALUES (?, ?, ?, ?, ?)", values)
            places[name, cursor.lastrowid] = key
    found = database.execute("PRAGMA foreign_key_check").fetchall()
    database.close()
    return {(name, places[name, rowid], number) for name, rowid, _, number in found}
