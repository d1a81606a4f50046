from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from prontosync.model.objects import Changes
from prontosync.sources.contract import (
    ConstraintBroken,
    RowChanges,
    RowsMoved,
    SchemaMoved,
    SourceTable,
    SourceUnfit,
    StateRow,
    TableOptions,
)
from prontosync.sources.sqlite import SqliteSource
from prontosync.sources.statements import quoted
from tests.sources.shop import NOTE, ask, changes, files, make, read, source, stored

Row = dict[str, Any]


class Till:
    """A live database, what was read of it, and changes by key."""

    def __init__(self, path: Path, *statements: str, journal: str = "wal", **selection: Any) -> None:
        self.path = make(path / "till.db", *statements, journal=journal)
        self.source: SqliteSource = source(self.path, **selection)
        self.snapshot = read(self.source)

    def table(self, name: str) -> SourceTable:
        return self.snapshot[name][0]

    def rows(self, name: str) -> dict[Any, Row]:
        table, rows = self.snapshot[name]
        keys = [rows.column(k).to_pylist() for k in table.schema.key]
        found = [k[0] if len(k) == 1 else k for k in zip(*keys, strict=True)]
        return dict(zip(found, rows.to_pylist(), strict=True))

    def change(
        self, name: str, *, delete: Sequence[Any] = (), insert: Sequence[Row] = (), update: dict[Any, Row] | None = None
    ) -> RowChanges:
        rows = self.rows(name)
        return changes(
            self.table(name),
            deletes=[rows[key] for key in delete],
            inserts=insert,
            updates=[(rows[key], new) for key, new in (update or {}).items()],
        )

    def apply(self, *wanted: RowChanges) -> Any:
        return self.source.apply(wanted, NOTE)

    def refuses(self, error: type[Exception], match: str, *wanted: RowChanges) -> None:
        before = files(self.path.parent)
        with pytest.raises(error, match=match):
            self.apply(*wanted)
        assert files(self.path.parent) == before
        assert self.source.state_row() is None
        self.ask("BEGIN IMMEDIATE")

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return ask(self.path, sql)


STOCK = (
    """CREATE TABLE stock (id INTEGER PRIMARY KEY, style TEXT NOT NULL, price DECIMAL(9,2),
    pairs INTEGER CHECK (pairs >= 0), at DATETIME, note)""",
    "INSERT INTO stock VALUES (1, 'Boot', 99.5, 3, '2026-01-01 10:00:00', 'x')",
    "INSERT INTO stock VALUES (2, 'Pump', 60, 1, NULL, 7), (3, 'Clog', NULL, 0, '2026-01-01 10:00:00.500000', NULL)",
)


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_all_kinds_of_changes_in_one_transaction(tmp_path: Path, journal: str) -> None:
    till = Till(tmp_path, *STOCK, journal=journal)
    new = {
        "id": 4,
        "style": "Mule",
        "price": Decimal("80.00"),
        "pairs": 2,
        "at": datetime.datetime(2026, 1, 2),
        "note": b"r1.5",
    }
    update = {1: {"price": Decimal("89.90"), "pairs": 2}, 3: {"note": b"bz"}}
    counts = till.apply(till.change("stock", delete=[2], insert=[new], update=update))
    assert counts == {"stock": Changes(1, 2, 1)}
    assert till.ask("SELECT *, typeof(price), typeof(note) FROM stock") == [
        (1, "Boot", 89.9, 2, "2026-01-01 10:00:00", "x", "real", "text"),
        (3, "Clog", None, 0, "2026-01-01 10:00:00.500000", b"z", "null", "blob"),
        (4, "Mule", 80, 2, "2026-01-02 00:00:00", 1.5, "integer", "real"),
    ]
    assert till.source.state_row() == NOTE
    assert till.source.apply([], StateRow("repository", "stores/012", "d" * 64, 2)) == {}
    assert till.source.state_row() == StateRow("repository", "stores/012", "d" * 64, 2)
    assert till.ask("SELECT count(*) FROM _prontosync_state") == [(1,)]
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["till.db"]


@pytest.mark.parametrize(
    ("meanwhile", "row"),
    [
        ("UPDATE stock SET pairs = 2 WHERE id = 1", 1),
        ("UPDATE stock SET style = 'BOOT' WHERE id = 1", 1),
        ("UPDATE stock SET note = x'78' WHERE id = 1", 1),
        ("UPDATE stock SET price = NULL WHERE id = 1", 1),
        ("DELETE FROM stock WHERE id = 1", 1),
        ("DELETE FROM stock WHERE id = 2", 2),
        ("UPDATE stock SET note = 7.0 WHERE id = 2", 2),
        ("INSERT INTO stock (id, style) VALUES (4, 'sold')", 4),
    ],
)
def test_what_the_till_did_meanwhile_is_never_lost(tmp_path: Path, meanwhile: str, row: int) -> None:
    till = Till(tmp_path, *STOCK)
    till.ask(meanwhile)
    new = {"id": 4, "style": "Mule"}
    wanted = till.change("stock", delete=[2], insert=[new], update={1: {"price": Decimal("1.00")}})
    till.refuses(RowsMoved, rf'table "stock", row \(id={row}\)', wanted)


def test_only_the_columns_that_differ_are_set(tmp_path: Path) -> None:
    till = Till(
        tmp_path,
        *STOCK,
        "CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT)",
        *(
            f"CREATE TRIGGER {c} AFTER UPDATE OF {c} ON stock BEGIN INSERT INTO log VALUES (NULL, '{c}' || new.id); END"
            for c in ("style", "price", "pairs")
        ),
    )
    till.apply(till.change("stock", update={1: {"price": Decimal("1.00")}, 2: {"pairs": 5}, 3: {}}))
    assert till.ask("SELECT what FROM log ORDER BY what") == [("pairs2",), ("price1",)]


FAMILY = (
    "CREATE TABLE parent (id INTEGER PRIMARY KEY, code TEXT UNIQUE)",
    "CREATE TABLE child (id INTEGER PRIMARY KEY, up INT REFERENCES parent ON DELETE {action} ON UPDATE {action}, n)",
    "INSERT INTO parent VALUES (1, 'a'), (2, 'b')",
    "INSERT INTO child VALUES (10, 1, 0), (20, 2, 0)",
)
ACTIONS = ["NO ACTION", "RESTRICT", "CASCADE", "SET NULL"]


def family(action: str) -> list[str]:
    return [statement.replace("{action}", action) for statement in FAMILY]


@pytest.mark.parametrize("action", ACTIONS)
def test_parents_and_children_come_and_go_together(tmp_path: Path, action: str) -> None:
    for order in itertools.permutations(range(2)):
        folder = tmp_path / str(order)
        folder.mkdir()
        till = Till(folder, *family(action))
        both = [
            till.change("parent", delete=[1], insert=[{"id": 3, "code": "c"}]),
            till.change("child", delete=[10], insert=[{"id": 30, "up": 3}], update={20: {"up": 3}}),
        ]
        till.apply(*(both[n] for n in order))
        assert till.ask("SELECT id, up FROM child") == [(20, 3), (30, 3)]
        assert till.ask("SELECT id FROM parent") == [(2,), (3,)]


@pytest.mark.parametrize("action", ACTIONS)
def test_a_child_is_pointed_elsewhere_before_its_parent_goes(tmp_path: Path, action: str) -> None:
    till = Till(tmp_path, *family(action))
    till.apply(
        till.change("parent", delete=[1], insert=[{"id": 3, "code": "a"}]), till.change("child", update={10: {"up": 3}})
    )
    assert till.ask("SELECT id, up FROM child") == [(10, 3), (20, 2)]


@pytest.mark.parametrize("action", ACTIONS)
def test_no_cascade_takes_a_row_of_the_till(tmp_path: Path, action: str) -> None:
    till = Till(tmp_path, *family(action))
    till.refuses(ConstraintBroken, r'table "child", row \(id=10\)', till.change("parent", delete=[1]))
    till.refuses(
        ConstraintBroken,
        r'table "child", row \(id=10\)',
        till.change("parent", delete=[1]),
        till.change("child", update={10: {"n": b"i5"}}),
    )
    till.ask("INSERT INTO child VALUES (11, 1, 0)")
    till.refuses(
        ConstraintBroken,
        r'table "child", row \(id=11\)',
        till.change("parent", delete=[1]),
        till.change("child", delete=[10]),
    )


def test_a_row_whose_parent_is_not_there(tmp_path: Path) -> None:
    till = Till(tmp_path, *family("NO ACTION"))
    missing = till.change("child", insert=[{"id": 30, "up": 1}, {"id": 31, "up": 9}, {"id": 32}])
    till.refuses(ConstraintBroken, r'table "child", row \(id=31\).*"parent"', missing)
    till.refuses(ConstraintBroken, r'table "child", row \(id=20\)', till.change("child", update={20: {"up": 9}}))


def test_orphans_of_long_ago_hold_nothing(tmp_path: Path) -> None:
    till = Till(tmp_path, *family("NO ACTION"), "INSERT INTO child VALUES (99, 77, 0)")
    till.apply(till.change("child", update={99: {"n": b"i1"}}))
    assert till.ask("SELECT n FROM child WHERE id = 99") == [(1,)]


@pytest.mark.parametrize("action", ["NO ACTION", "CASCADE"])
def test_a_key_that_others_refer_to_changes(tmp_path: Path, action: str) -> None:
    till = Till(
        tmp_path,
        "CREATE TABLE parent (id INTEGER PRIMARY KEY, code TEXT UNIQUE)",
        f"CREATE TABLE child (id INTEGER PRIMARY KEY, up TEXT REFERENCES parent (code) ON UPDATE {action})",
        "INSERT INTO parent VALUES (1, 'a'), (2, 'b')",
        "INSERT INTO child VALUES (10, 'a')",
    )
    renamed = till.change("parent", update={1: {"code": "z"}})
    till.refuses(ConstraintBroken, r'table "child", row \(id=10\).*another key', renamed)
    till.apply(renamed, till.change("child", update={10: {"up": "z"}}))
    assert till.ask("SELECT up FROM child") == [("z",)]


@pytest.mark.parametrize("action", ACTIONS)
def test_self_references_and_cycles(tmp_path: Path, action: str) -> None:
    till = Till(
        tmp_path,
        f"CREATE TABLE a (id INTEGER PRIMARY KEY, b INTEGER REFERENCES b ON DELETE {action})",
        f"CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a ON DELETE {action})",
        f"CREATE TABLE tree (id INTEGER PRIMARY KEY, up INTEGER REFERENCES tree ON DELETE {action})",
        "INSERT INTO a VALUES (1, 1)",
        "INSERT INTO b VALUES (1, 1)",
        "INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2), (4, 4)",
    )
    till.apply(
        till.change("a", delete=[1], insert=[{"id": 2, "b": 2}]),
        till.change("b", delete=[1], insert=[{"id": 2, "a": 2}]),
        till.change("tree", delete=[1, 2, 3, 4], insert=[{"id": 5, "up": 6}, {"id": 6, "up": 5}]),
    )
    assert till.ask("SELECT * FROM a") == till.ask("SELECT * FROM b") == [(2, 2)]
    assert till.ask("SELECT * FROM tree") == [(5, 6), (6, 5)]


@pytest.mark.parametrize(
    ("definition", "values"),
    [
        ("x TEXT UNIQUE", ["'a'", "'b'", "'c'"]),
        ("x TEXT NOT NULL UNIQUE", ["'a'", "'b'", "'c'"]),
        ("x INTEGER NOT NULL UNIQUE", ["1", "2", "3"]),
        ("x REAL NOT NULL UNIQUE", ["1.5", "2.5", "3.5"]),
        ("x BLOB NOT NULL UNIQUE", ["x'01'", "x'02'", "x'03'"]),
        ("x NOT NULL UNIQUE", ["1", "'1'", "x'31'"]),
        ("x TEXT NOT NULL COLLATE NOCASE UNIQUE", ["'a'", "'b'", "'c'"]),
        ("x DATETIME NOT NULL UNIQUE", ["'2020-01-01 00:00:00'", "'2020-01-02 00:00:00'", "'2020-01-03 00:00:00'"]),
    ],
)
def test_unique_values_move_round(tmp_path: Path, definition: str, values: list[str]) -> None:
    rows = ", ".join(f"({n}, {value}, 0)" for n, value in enumerate(values))
    till = Till(
        tmp_path,
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, {definition}, n)",
        f"INSERT INTO t VALUES {rows}",
        "CREATE TABLE log (id INTEGER PRIMARY KEY, gone)",
        "CREATE TRIGGER bin AFTER DELETE ON t BEGIN INSERT INTO log (gone) VALUES (old.id); END",
    )
    before = [row["x"] for row in till.rows("t").values()]
    till.apply(till.change("t", update={n: {"x": before[(n + 1) % 3], "n": b"i1"} for n in range(3)}))
    after = [row["x"] for row in read(till.source)["t"][1].to_pylist()]
    assert after == [*before[1:], before[0]]
    assert till.ask("SELECT * FROM log") == []


def test_unique_values_change_hands(tmp_path: Path) -> None:
    till = Till(
        tmp_path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT NOT NULL, y INTEGER NOT NULL, UNIQUE (x, y))",
        "INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)",
    )
    till.apply(
        till.change(
            "t",
            delete=[3],
            update={1: {"x": "c", "y": 3}, 2: {"x": "a", "y": 1}},
            insert=[{"id": 4, "x": "b", "y": 2}],
        )
    )
    assert till.ask("SELECT * FROM t") == [(1, "c", 3), (2, "a", 1), (4, "b", 2)]


@pytest.mark.parametrize(
    ("change", "row"),
    [
        ({"update": {1: {"pairs": -1}, 2: {"pairs": 4}}}, 1),
        ({"insert": [{"id": 7, "style": "ok"}, {"id": 8, "style": None}, {"id": 9, "style": "ok"}]}, 8),
        ({"insert": [{"id": 7, "style": "ok"}, {"id": 8, "style": "ok", "pairs": -5}]}, 8),
    ],
)
def test_a_row_that_the_database_refuses_is_named(tmp_path: Path, change: dict[str, Any], row: int) -> None:
    till = Till(tmp_path, *STOCK)
    till.refuses(
        ConstraintBroken, rf'table "stock", row \(id={row}\).*constraint failed', till.change("stock", **change)
    )


def test_a_unique_clash_with_a_row_of_the_till_is_named(tmp_path: Path) -> None:
    till = Till(tmp_path, "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT UNIQUE)", "INSERT INTO t VALUES (1, 'a')")
    wanted = till.change("t", insert=[{"id": 2, "x": "b"}, {"id": 3, "x": "a"}])
    till.refuses(ConstraintBroken, r"row \(id=3\).*UNIQUE constraint failed: t.x", wanted)


@pytest.mark.parametrize(
    "trigger",
    [
        "AFTER UPDATE ON stock BEGIN UPDATE stock SET style = upper(style) WHERE id = new.id; END",
        "AFTER UPDATE ON stock BEGIN DELETE FROM stock WHERE id = 1; END",
        "BEFORE UPDATE ON stock BEGIN SELECT RAISE(IGNORE); END",
        "BEFORE UPDATE ON stock BEGIN SELECT RAISE(ABORT, 'constraint failed: closed on Sundays'); END",
    ],
)
def test_a_trigger_that_rewrites_rows_is_noticed(tmp_path: Path, trigger: str) -> None:
    till = Till(tmp_path, *STOCK, f"CREATE TRIGGER odd {trigger}")
    till.refuses(ConstraintBroken, r'table "stock", row \(id=1\)', till.change("stock", update={1: {"style": "x"}}))


def test_a_trigger_that_says_no_in_its_own_words(tmp_path: Path) -> None:
    trigger = "CREATE TRIGGER no BEFORE DELETE ON stock BEGIN SELECT RAISE(ABORT, 'closed on Sundays'); END"
    till = Till(tmp_path, *STOCK, trigger)
    till.refuses(ConstraintBroken, r"row \(id=2\).*closed on Sundays", till.change("stock", delete=[2]))


def test_triggers_may_do_other_things(tmp_path: Path) -> None:
    till = Till(
        tmp_path,
        *STOCK,
        "CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT)",
        "CREATE TRIGGER noted AFTER UPDATE ON stock BEGIN INSERT INTO log (what) VALUES (new.style); END",
    )
    till.apply(till.change("stock", update={1: {"style": "x"}}))
    assert till.ask("SELECT what FROM log") == [("x",)]


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE stock ADD COLUMN more",
        "CREATE INDEX late ON stock (style)",
        "CREATE TRIGGER late AFTER DELETE ON stock BEGIN SELECT 1; END",
        "DROP TABLE stock",
    ],
)
def test_a_schema_that_changed_is_told(tmp_path: Path, statement: str) -> None:
    till = Till(tmp_path, *STOCK)
    till.ask(statement)
    till.refuses(SchemaMoved, 'table "stock"', till.change("stock", delete=[1]))


def test_generated_and_skipped_columns_are_left_alone(tmp_path: Path) -> None:
    till = Till(
        tmp_path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, v INTEGER AS (a * 2), s INTEGER AS (a * 3) STORED, secret)",
        "INSERT INTO t (id, a, secret) VALUES (1, 1, 'x'), (2, 2, 'y')",
        options={"t": TableOptions(skip=("secret",))},
    )
    till.apply(till.change("t", update={1: {"a": 5}}, insert=[{"id": 3, "a": 7, "v": 0, "s": 0}], delete=[2]))
    assert till.ask("SELECT * FROM t") == [(1, 5, 10, 15, "x"), (3, 7, 14, 21, None)]


def test_text_is_compared_by_its_bytes(tmp_path: Path) -> None:
    till = Till(
        tmp_path,
        "CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, v TEXT COLLATE RTRIM) WITHOUT ROWID",
        "INSERT INTO t VALUES ('a', 'x')",
    )
    wanted = till.change("t", update={"a": {"v": "y"}})
    till.ask("UPDATE t SET v = 'x  '")
    till.refuses(RowsMoved, r"row \(k=a\)", wanted)
    till.ask("UPDATE t SET v = 'x', k = 'A'")
    till.refuses(RowsMoved, r"row \(k=a\)", wanted)
    till.ask("UPDATE t SET k = 'a'")
    till.apply(till.change("t", delete=["a"], insert=[{"k": "A", "v": "x"}]))
    assert till.ask("SELECT k FROM t") == [("A",)]


@pytest.mark.parametrize("without", ["", " WITHOUT ROWID"])
def test_composite_keys(tmp_path: Path, without: str) -> None:
    till = Till(
        tmp_path,
        f"CREATE TABLE t (rowid TEXT NOT NULL, oid, _rowid_ INT NOT NULL, v, PRIMARY KEY (_rowid_, rowid)){without}",
        "INSERT INTO t VALUES ('a', 0, 1, 'x'), ('a', 0, 2, 'y'), ('b', 0, 1, 'z')",
    )
    till.apply(till.change("t", delete=[(1, "a")], update={(2, "a"): {"v": b"i5"}}))
    assert till.ask('SELECT "rowid", "_rowid_", v FROM t ORDER BY 1') == [("a", 2, 5), ("b", 1, "z")]


def test_a_configured_key_that_is_there_twice(tmp_path: Path) -> None:
    till = Till(
        tmp_path, "CREATE TABLE t (a TEXT, v)", "INSERT INTO t VALUES ('x', 1)", options={"t": TableOptions(key=("a",))}
    )
    wanted = till.change("t", update={"x": {"v": b"i2"}})
    till.apply(wanted)
    assert till.ask("SELECT * FROM t") == [("x", 2)]
    till.ask("UPDATE t SET v = 1")
    till.ask("INSERT INTO t VALUES ('x', 1)")
    with pytest.raises(RowsMoved, match=r"row \(a=x\) is there more than once"):
        till.apply(wanted)


@pytest.mark.parametrize(
    "name", ["select", 'qu"ote', "a;--b", "new\nline", "👟", "../x", "-dash", "*?[a]", "a{0}b", "%s", "t"]
)
def test_names_may_be_anything(tmp_path: Path, name: str) -> None:
    q = quoted(name)
    till = Till(
        tmp_path,
        f"CREATE TABLE {q} ({q} TEXT PRIMARY KEY, v TEXT UNIQUE, up TEXT REFERENCES {q})",
        f"INSERT INTO {q} VALUES ('a', 'x', NULL), ('b', 'y', 'a'), ('c', 'z', NULL)",
    )
    till.apply(
        till.change(
            name, delete=["c"], insert=[{name: "d", "v": "z", "up": "b"}], update={"a": {"v": "y"}, "b": {"v": "x"}}
        )
    )
    assert till.ask(f"SELECT * FROM {q} ORDER BY 1") == [("a", "y", None), ("b", "x", "a"), ("d", "z", "b")]
    till.snapshot = read(till.source)
    with pytest.raises(ConstraintBroken):
        till.apply(till.change(name, delete=["a"]))


def test_what_before_commit_raises_rolls_back(tmp_path: Path) -> None:
    till = Till(tmp_path, *STOCK)
    seen = []

    def last() -> None:
        seen.append(True)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        till.source.apply([till.change("stock", delete=[1])], NOTE, last)
    assert seen == [True]
    assert till.ask("SELECT count(*) FROM stock") == [(3,)]
    assert till.source.state_row() is None


def test_values_that_sqlite_cannot_hold(tmp_path: Path) -> None:
    till = Till(
        tmp_path, "CREATE TABLE t (id INTEGER PRIMARY KEY, r REAL, d DECIMAL(38,1))", "INSERT INTO t VALUES (1, 1, 1)"
    )
    for row in ({"id": 2, "r": float("nan")}, {"id": 2, "d": Decimal("1234567890123456789012345.5")}):
        till.refuses(SourceUnfit, r'table "t", row \(id=2\), column "[rd]"', till.change("t", insert=[{"id": 3}, row]))


def test_ten_thousand_rows_keep_their_bounds(tmp_path: Path) -> None:
    till = Till(
        tmp_path,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, code TEXT UNIQUE, n INTEGER, up INTEGER REFERENCES t)",
        "CREATE INDEX up ON t (up)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)"
        " INSERT INTO t SELECT i, 'c' || i, i, nullif(i - 1, 0) FROM n",
    )
    table, rows = till.snapshot["t"]
    old = rows.slice(0, 10000)
    new = old.set_column(2, "n", pa.array(range(10000)))
    counts = till.apply(RowChanges(table, rows.slice(29000), rows.slice(0, 0), old, new))
    assert counts == {"t": Changes(0, 10000, 1000)}
    assert till.ask("SELECT count(*), sum(n) FROM t") == [(29000, sum(range(10000)) + sum(range(10001, 29001)))]
    assert stored(till.path, "t", ["code"], "id")[0][1] == b"c1"


COUNTED = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, m INTEGER)",
    "INSERT INTO t VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4)",
)


class Meanwhile:
    """Pieces of changes, between which the till does something, the first time they are gone through."""

    def __init__(self, till: Till, sql: str, *pieces: RowChanges) -> None:
        self._till, self._sql, self._pieces = till, sql, pieces

    def __iter__(self) -> Iterator[RowChanges]:
        yield self._pieces[0]
        if self._sql:
            self._till.ask(self._sql)
            self._sql = ""
        yield from self._pieces[1:]


def test_changes_in_pieces(tmp_path: Path) -> None:
    """Each with columns of its own that differ."""
    till = Till(tmp_path, *COUNTED, "CREATE TABLE u (id INTEGER PRIMARY KEY)")
    counts = till.apply(
        till.change("t", update={1: {"n": 10}, 2: {"n": 2}}),
        till.change("t", update={3: {"m": 30}}, delete=[4]),
        till.change("t", insert=[{"id": 5, "n": 5}]),
        till.change("u", insert=[{"id": 1}]),
    )
    assert counts == {"t": Changes(1, 3, 1), "u": Changes(1, 0, 0)}
    assert till.ask("SELECT * FROM t") == [(1, 10, 1), (2, 2, 2), (3, 3, 30), (5, 5, None)]


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_the_till_goes_on_while_rows_are_staged(tmp_path: Path, journal: str) -> None:
    till = Till(tmp_path, *COUNTED, journal=journal)
    pieces = [till.change("t", update={1: {"n": 10}}), till.change("t", update={3: {"n": 30}})]
    till.source.apply(Meanwhile(till, "UPDATE t SET n = 20 WHERE id = 2", *pieces), NOTE)
    assert till.ask("SELECT n FROM t") == [(10,), (20,), (30,), (4,)]


def test_a_row_of_a_later_piece_is_named(tmp_path: Path) -> None:
    till = Till(tmp_path, *COUNTED)
    pieces = [till.change("t", update={1: {"n": 10}, 2: {"n": 20}}), till.change("t", update={3: {"n": 30}})]
    with pytest.raises(RowsMoved, match=r'table "t", row \(id=3\)'):
        till.source.apply(Meanwhile(till, "UPDATE t SET m = 9 WHERE id = 3", *pieces), NOTE)
    assert till.ask("SELECT n FROM t") == [(1,), (2,), (3,), (4,)]
