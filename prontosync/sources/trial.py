"""What a table's own definition says of rows before they are written: those that NOT NULL, CHECK or STRICT refuse.

SQLite itself is asked, on a table in memory that is made of the definition. Foreign keys and triggers play no part, and
rows that would only be in each other's way are not refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from prontosync.model.schema import TableSchema
from prontosync.sources.connection import Connection, ConstraintFailed, in_memory, said
from prontosync.sources.contract import RowChanges, SourceTable, SourceUnfit
from prontosync.sources.definition import Definition, definition_of, has_conditions
from prontosync.sources.staging import Kind, Loaded, load_rows
from prontosync.sources.statements import literal, quoted

_NUMBER = "_ps_number"


@dataclass(frozen=True)
class Verdict:
    """The refused rows by their index in ``RowChanges.inserts`` and ``.new``, with the database's words. ``untested``
    is why nothing was tested, None where it was."""

    inserts: Mapping[int, str] = field(default_factory=dict)
    updates: Mapping[int, str] = field(default_factory=dict)
    untested: str | None = None


class SqliteTrial:
    """Rows against the definitions of tables in SQLite. Keeps nothing and writes nowhere."""

    def concerns(self, table: SourceTable) -> bool:
        """Whether the definition may refuse any row at all."""
        return has_conditions(table.ddl)

    def refused(self, changes: RowChanges) -> Verdict:
        """An insert is refused where the database would refuse it, an update where it would refuse to set the columns
        that differ: a condition on others may have been broken before. Deletes are not looked at. Never raises for what
        rows or definitions are."""
        definition = definition_of(changes.table.name, changes.table.ddl)
        if isinstance(definition, str):
            return Verdict(untested=definition)
        changes = _known_columns(definition, changes)
        inserts, updates = _suspicious(definition, changes.inserts), _suspicious(definition, changes.new)
        some = replace(
            changes,
            deletes=changes.deletes.slice(0, 0),
            inserts=changes.inserts.take(inserts),
            old=changes.old.take(updates),
            new=changes.new.take(updates),
        )
        if not some.rows:
            return Verdict()
        found = _tried(definition, some)
        return Verdict(
            {inserts[n].as_py(): words for n, words in found.inserts.items()},
            {updates[n].as_py(): words for n, words in found.updates.items()},
            found.untested,
        )


def _known_columns(definition: Definition, changes: RowChanges) -> RowChanges:
    """The changes without columns that the definition lacks: the branch carries them, and no live row has them."""
    schema = changes.table.schema
    here = {*definition.columns, *changes.table.ddl.generated}
    columns = tuple(column for column in schema.columns if column.name in here or column.name in schema.key)
    if len(columns) == len(schema.columns):
        return changes
    names = [column.name for column in columns]
    uniques = tuple(unique for unique in schema.uniques if set(unique) <= set(names))
    table = replace(changes.table, schema=TableSchema(columns, schema.key, uniques=uniques))
    sides = (changes.deletes, changes.inserts, changes.old, changes.new)
    return RowChanges(table, *(side.select(names) for side in sides))


def _suspicious(definition: Definition, rows: pa.Table) -> pa.Array:
    """The indexes of rows that must be tried: all, or where NULL alone is refused those that have one there."""
    if not definition.nulls_only:
        return pa.arange(0, rows.num_rows)
    given = [name for name in definition.not_null if name in rows.column_names]
    if len(given) < len(definition.not_null):  # a column that is not part of the snapshot may lack a default
        return pa.arange(0, rows.num_rows)
    mask = pa.chunked_array([pa.repeat(pa.scalar(value=False), rows.num_rows)])
    for name in given:
        mask = pc.or_(mask, pc.is_null(rows.column(name)))
    return pc.indices_nonzero(mask)


def _tried(definition: Definition, changes: RowChanges) -> Verdict:
    try:
        with in_memory() as connection:
            connection.run("PRAGMA foreign_keys = OFF")
            connection.run("PRAGMA trusted_schema = OFF")
            untested = _made(connection, definition, changes.table)
            return Verdict(untested=untested) if untested is not None else _verdict(connection, changes)
    except SourceUnfit as error:  # a value that SQLite cannot hold, whatever the definition says
        if changes.rows > 1:
            return _joined([_tried(definition, half) for half in _halves(changes)], changes)
        words = {0: error.message}
        return Verdict(words, {}) if changes.inserts.num_rows else Verdict({}, words)


def _verdict(connection: Connection, changes: RowChanges) -> Verdict:
    # An update is refused only where its new row would be as an insert: few old rows are ever looked at.
    none, came = changes.new.slice(0, 0), changes.inserts.num_rows
    whole = pa.concat_tables([changes.inserts, changes.new])
    found = _Table(connection, replace(changes, inserts=whole, old=none, new=none), 0, came).inserts()
    inserts = {n: words for n, words in found.items() if n < came}
    updates = {n - came: words for n, words in found.items() if n >= came}
    if not updates:
        return Verdict(inserts)
    at = list(updates)
    suspects = replace(changes, inserts=none, old=changes.old.take(at), new=changes.new.take(at))
    changed = _Table(connection, suspects, 1).updates(list(updates.values()))
    return Verdict(inserts, {at[n]: words for n, words in changed.items()})


def _made(connection: Connection, definition: Definition, table: SourceTable) -> str | None:
    """Make the table; None, or why rows cannot be tried in it."""
    main = f"main.{quoted(definition.table)}"
    skipped = set(definition.columns) - set(table.schema.names)
    statements = [definition.statement, f"ALTER TABLE {main} ADD COLUMN {_NUMBER} INTEGER"]
    for statement in statements:
        words = _attempt(connection, statement)
        if words is not None:
            return f"its definition cannot be tried here: {words}"
    defaults = connection.rows(f"SELECT name, dflt_value AS given FROM pragma_table_info({literal(definition.table)})")
    if any(row["name"] in skipped and "(" in (row["given"] or "") for row in defaults):
        return "a column that is not part of the snapshot has a computed default"
    return None


class _Table:
    """The table in memory, and the rows to be tried in temporary tables; rows are counted from 1. In the first
    ``fresh`` ones NULL becomes a column's default where NULL is not allowed, as an apply has it."""

    def __init__(self, connection: Connection, changes: RowChanges, number: int, fresh: int = 0) -> None:
        self._fresh = fresh
        self._connection = connection
        self._loaded: Loaded = load_rows(connection, changes, number)
        self._main = f"main.{quoted(changes.table.name)}"
        self._names = [column.name for column in self._loaded.binder.columns]
        said = connection.rows(
            "SELECT name, dflt_value AS given FROM pragma_table_info"
            f'({literal(changes.table.name)}) WHERE "notnull" AND dflt_value IS NOT NULL'
        )
        self._defaults: dict[str, str] = {row["name"]: row["given"] for row in said}

    def inserts(self) -> dict[int, str]:
        """The refused rows by index, with the database's words."""
        return {n - 1: words for n in self._suspects("inserts") if (words := self._insert("inserts", n)) is not None}

    def updates(self, words: Sequence[str]) -> dict[int, str]:
        """The refused changes by index, of rows whose new values are refused as a whole, with these ``words``."""
        broken_before = set(self._suspects("old"))
        found = {}
        for n, refusal in enumerate(words, 1):
            # What refuses the new row and took the old one is about columns that differ.
            why = self._update(n) if n in broken_before else refusal
            if why is not None:
                found[n - 1] = why
        return found

    def _suspects(self, kind: Kind) -> list[int]:
        """Rows that the table does not take when all come at once: refused ones, and some in each other's way."""
        count = self._loaded.counts[kind]
        return self._left(kind, 1, count) if count else []

    def _left(self, kind: Kind, low: int, high: int) -> list[int]:
        rows = f"FROM {self._temp(kind)} AS n WHERE n.rowid BETWEEN {low} AND {high}"
        words = self._try(
            f"INSERT OR IGNORE INTO {self._main} ({self._columns}, {_NUMBER}) SELECT {self._values}, n.rowid {rows}"
        )
        if words is None:
            taken = f"SELECT {_NUMBER} FROM {self._main}"
            found = self._connection.rows(f"SELECT n.rowid AS n {rows} AND n.rowid NOT IN ({taken}) ORDER BY 1")
            self._empty()
            return [row["n"] for row in found]
        # Some refusals end the statement whatever it says, those of a STRICT table's types and of failing functions.
        if low == high:
            return [low]
        middle = (low + high) // 2
        return self._left(kind, low, middle) + self._left(kind, middle + 1, high)

    def _insert(self, kind: Kind, n: int) -> str | None:
        """The words with which one row alone is refused."""
        # "OR ABORT", for a definition may say that what breaks it is to be left out, or replaced by a default.
        source = f"FROM {self._temp(kind)} AS n WHERE n.rowid = {n}"
        words = self._try(f"INSERT OR ABORT INTO {self._main} ({self._columns}) SELECT {self._values} {source}")
        if words is None:
            self._empty()
        return words

    def _update(self, n: int) -> str | None:
        """The words with which the change of one row is refused whose old row is none that the definition takes."""
        mask = self._connection.value(f"SELECT mask FROM {self._temp('new')} WHERE rowid = {n}")
        differing = self._loaded.masks[mask]
        columns = [f"{quoted(name)} = n.{self._staged(name)}" for name in differing if name in self._names]
        if not columns:
            return None
        source = f"FROM {self._temp('old')} AS n WHERE n.rowid = {n}"
        self._connection.run("PRAGMA ignore_check_constraints = ON")
        before = self._try(f"INSERT OR ABORT INTO {self._main} ({self._columns}) SELECT {self._values} {source}")
        self._connection.run("PRAGMA ignore_check_constraints = OFF")
        if before is not None:
            words = self._insert("new", n)
            return words if words != before else None
        changed = f"FROM {self._temp('new')} AS n WHERE n.rowid = {n}"
        words = self._try(f"UPDATE OR ABORT {self._main} AS t SET {', '.join(columns)} {changed}")
        self._empty()
        return words

    def _empty(self) -> None:
        self._connection.run(f"DELETE FROM {self._main}")

    def _try(self, sql: str) -> str | None:
        return _attempt(self._connection, sql)

    def _temp(self, kind: Kind) -> str:
        return f'temp."_ps_{kind}_{self._loaded.number}"'

    def _staged(self, name: str) -> str:
        return f"c{self._names.index(name)}"

    @property
    def _columns(self) -> str:
        return ", ".join(quoted(name) for name in self._names)

    @property
    def _values(self) -> str:
        return ", ".join(self._value(name) for name in self._names)

    def _value(self, name: str) -> str:
        staged = f"n.{self._staged(name)}"
        if name not in self._defaults or not self._fresh:
            return staged
        return f"CASE WHEN n.rowid <= {self._fresh} THEN coalesce({staged}, ({self._defaults[name]})) ELSE {staged} END"


def _attempt(connection: Connection, sql: str) -> str | None:
    """Run a statement; None, or SQLite's words."""
    try:
        connection.run(sql)
    except ConstraintFailed as error:
        return str(error)
    except SourceUnfit as error:
        return said(error.__cause__) if isinstance(error.__cause__, Exception) else error.message
    return None


def _halves(changes: RowChanges) -> Iterator[RowChanges]:
    """The same rows in two: inserts apart from updates, or half of those that there are."""
    inserts, updates = changes.inserts.num_rows, changes.new.num_rows
    middle = inserts if inserts and updates else (inserts + updates) // 2
    for start, end in ((0, middle), (middle, inserts + updates)):
        first, last = max(0, start - inserts), max(0, end - inserts)
        yield replace(
            changes,
            inserts=changes.inserts.slice(min(start, inserts), max(0, min(end, inserts) - start)),
            old=changes.old.slice(first, last - first),
            new=changes.new.slice(first, last - first),
        )


def _joined(halves: Sequence[Verdict], changes: RowChanges) -> Verdict:
    first, second = halves
    inserts, updates = changes.inserts.num_rows, changes.new.num_rows
    middle = inserts if inserts and updates else (inserts + updates) // 2
    after = {n + min(middle, inserts): words for n, words in second.inserts.items()}
    later = {n + max(0, middle - inserts): words for n, words in second.updates.items()}
    return Verdict({**first.inserts, **after}, {**first.updates, **later}, first.untested or second.untested)
