"""Change capture, what a table needs for it: a table of notes, and triggers that note the keys touched.

A note is true of the moment before a row changes: ``I`` says that no row with the key was there, each other letter that
there was one. So the first note after a mark tells whether the row existed at the mark. Only an insert is noted when it
is done, for a rowid that SQLite chooses is not known before.

The triggers name nothing but columns of the primary key and of UNIQUE constraints: SQLite lets nobody drop a column
that a trigger names, and those cannot be dropped anyway. They stay within what old versions of SQLite understand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prontosync.sources.catalog import LiveTable
from prontosync.sources.statements import chain, quoted

PREFIX = "_prontosync_track"
_COLLATIONS = frozenset(["BINARY", "NOCASE", "RTRIM"])


@dataclass(frozen=True)
class _Unique:
    """Columns, as SQL, in which no two rows are equal by ``collations``."""

    columns: tuple[str, ...]
    collations: tuple[str, ...]

    def taken(self, live: str, new: str) -> str:
        """Whether the row ``live`` is in the way of ``new``; finds it by its index."""
        return " AND ".join(
            f"{live}.{column} = {new}.{column} COLLATE {collation}"
            for column, collation in zip(self.columns, self.collations, strict=True)
        )

    def moves(self) -> str:
        """Whether an update takes the row elsewhere."""
        terms = [
            f"NEW.{column} IS NOT OLD.{column} COLLATE {collation}"
            for column, collation in zip(self.columns, self.collations, strict=True)
        ]
        return chain("OR", terms)


def unfit(live: LiveTable, key: tuple[str, ...]) -> str | None:
    """Why a table cannot be tracked, or None. ``key`` is what its rows are told apart by."""
    if key != live.primary:
        return "its key is not its own primary key"
    if live.rowid_key:
        return None
    primary = next((index for index in live.indexes if index.primary), None)
    if primary is None:
        return "its primary key has no index"
    if not _COLLATIONS.issuperset(primary.collations):
        return "its primary key is compared by a collation that SQLite does not have"
    return None


@dataclass(frozen=True)
class Capture:
    """The capture of one table, which is not ``unfit``."""

    live: LiveTable
    number: int

    @property
    def notes(self) -> str:
        return f"{PREFIX}_{self.number}"

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of ``notes`` that hold the key: no declared type, so that values stay what they are."""
        return tuple(f"k{n}" for n in range(len(self.live.primary)))

    @property
    def collations(self) -> tuple[str, ...]:
        """By which the primary key's index compares, column by column of the key."""
        return self._primary.collations

    @property
    def counted(self) -> bool:
        """Whether a REPLACE may delete a row that no trigger sees, so that rows must be counted."""
        unseen = any(index.unique and not self._named(index.columns, index.collations) for index in self.live.indexes)
        unseen |= any(index.unique and not index.constraint for index in self.live.indexes)
        # OR REPLACE puts the default in place of a NULL when BEFORE triggers are through.
        named = {name for index in self.live.indexes if index.constraint for name in index.columns}
        return unseen or any(c.default and c.not_null for c in self.live.columns if c.name in named)

    def statements(self) -> dict[str, str]:
        """The definitions by the objects' names, in the order to make them, just as SQLite keeps them."""
        table = f"CREATE TABLE {quoted(self.notes)} (seq INTEGER PRIMARY KEY, op, r DEFAULT (random()), "
        found = {self.notes: f"{table}{', '.join(self.key)})"}
        for name, event, body in self._triggers():
            full = f"{self.notes}_{name}"
            found[full] = (
                f"CREATE TRIGGER {quoted(full)} {event[0]} ON {quoted(self.live.name)} FOR EACH ROW{event[1]}"
                f" BEGIN {' '.join(body)} END"
            )
        return found

    def _triggers(self) -> Iterator[tuple[str, tuple[str, str], list[str]]]:
        """For each its name, its event with a condition, and its statements."""
        every = [self._primary, *self._uniques()]
        yield "replace", ("BEFORE INSERT", ""), [self._note_taken(unique) for unique in every]
        yield "insert", ("AFTER INSERT", ""), [self._note("I", "NEW")]
        yield "update", ("BEFORE UPDATE", ""), [self._note("U", "OLD")]
        move = [self._note_taken(self._primary), self._note("I", "NEW")]
        yield "move", ("BEFORE UPDATE", f" WHEN {self._other_key()}"), move
        for n, unique in enumerate(self._uniques()):
            yield f"unique_{n}", ("BEFORE UPDATE", f" WHEN {unique.moves()}"), [self._note_taken(unique)]
        yield "delete", ("BEFORE DELETE", ""), [self._note("D", "OLD")]

    def _note(self, op: str, row: str) -> str:
        return f"{self._into} VALUES ('{op}', {self._key_of(row)});"

    def _note_taken(self, unique: _Unique) -> str:
        """Notes the rows that a REPLACE would delete, for which no trigger fires."""
        rows = f"FROM {quoted(self.live.name)} AS e WHERE {unique.taken('e', 'NEW')}"
        return f"{self._into} SELECT 'R', {self._key_of('e')} {rows};"

    @property
    def _into(self) -> str:
        return f"INSERT INTO {quoted(self.notes)} (op, {', '.join(self.key)})"

    def _key_of(self, row: str) -> str:
        return ", ".join(f"{row}.{quoted(name)}" for name in self.live.primary)

    def _other_key(self) -> str:
        columns = [quoted(name) for name in self.live.primary]
        terms = [f"NEW.{column} IS NOT OLD.{column} COLLATE BINARY" for column in columns]
        return chain("OR", terms + [f"typeof(NEW.{column}) <> typeof(OLD.{column})" for column in columns])

    @property
    def _primary(self) -> _Unique:
        columns = tuple(quoted(name) for name in self.live.primary)
        if self.live.rowid_key:
            return _Unique(columns, ("BINARY",))
        return _Unique(columns, next(index.collations for index in self.live.indexes if index.primary))

    def _uniques(self) -> list[_Unique]:
        """What else keeps two rows apart: UNIQUE constraints, and a rowid that is not the key."""
        found = [
            _Unique(tuple(quoted(name) for name in index.columns), index.collations)
            for index in self.live.indexes
            if index.constraint and not index.primary and self._named(index.columns, index.collations)
        ]
        if self.live.rowid and not self.live.rowid_key:
            found.append(_Unique((self.live.rowid,), ("BINARY",)))
        return found

    def _named(self, columns: tuple[str, ...], collations: tuple[str, ...]) -> bool:
        """Whether triggers can look for rows by these columns: the till's other columns may make a generated one."""
        generated = {column.name for column in self.live.columns if column.generated}
        return not generated & set(columns) and _COLLATIONS.issuperset(collations)
