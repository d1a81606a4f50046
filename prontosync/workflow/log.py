"""Log: the commits of a branch, newest first; of one table or one row, those that changed it."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from prontosync.errors import NotFound, UsageError
from prontosync.history.commits import EMPTY, Tree
from prontosync.history.disputes import keys_table, rows_by_key
from prontosync.model.ids import ObjectId
from prontosync.model.keys import parse_key
from prontosync.model.objects import Changes, Commit, TableState
from prontosync.model.progress import counted
from prontosync.model.renumbering import NewKey
from prontosync.model.schema import TableSchema
from prontosync.model.values import Row, canonical
from prontosync.workflow.live import table_disputes
from prontosync.workflow.session import Session
from prontosync.workflow.states import NoSuchTable

if TYPE_CHECKING:
    from prontosync.tables.reader import StoredTable


class NoSuchRow(NotFound):
    id = "unknown-key"


class KeyNeedsTable(UsageError):
    id = "key-without-table"


@dataclass(frozen=True)
class RowStep:
    """One row before and after a commit, canonical; None where it was not there."""

    schema: TableSchema
    key: Row
    old: Row | None
    new: Row | None


@dataclass(frozen=True)
class LogEntry:
    """``tables`` are the changed tables with their states now; ``gone`` those that this commit dropped. ``parents``
    are those that are here. ``row`` is set where the log is of one row. ``renumbered`` are the rows that got another
    key in this merge."""

    id: ObjectId
    commit: Commit
    tables: dict[str, TableState] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    conflicts: int = 0
    parents: tuple[ObjectId, ...] = ()
    row: RowStep | None = None
    renumbered: tuple[NewKey, ...] = ()


class Log:
    """The history of ``tip``. ``table`` and ``key`` (as people write it) limit it to the commits that changed them."""

    def __init__(self, session: Session, tip: ObjectId, table: str | None = None, key: str | None = None) -> None:
        if key is not None and table is None:
            raise KeyNeedsTable("a key needs the table that it is of", "add --table TABLE")
        self._session, self._tip, self._table, self._key = session, tip, table, key
        self._counts: dict[tuple[str, ObjectId], int] = {}

    def entries(self) -> Iterator[LogEntry]:
        """Newest first: no commit comes before one that descends from it. Raises NoSuchTable or NoSuchRow where none of
        them has such a table or row."""
        found = False
        line = walk(self._session, self._tip)
        for commit in counted(line, "reading the history", None, "commits", self._session.progress):
            entry = self.entry(commit)
            if self._table is None:
                yield entry
            elif self._table in entry.tables or self._table in entry.gone:
                entry = self._with_row(entry) if self._key is not None else entry
                if self._key is None or entry.row is not None:
                    found = True
                    yield entry
        if self._table is not None and not found:
            self._refuse(self._table)

    def entry(self, commit: ObjectId) -> LogEntry:
        """One commit, without its row."""
        content = self._session.commits.read(commit)
        before = self._before(content)
        changed = {name: state for name, state in content.tables.items() if before.tables.get(name) != state}
        tables = {name: state for name, state in changed.items() if _is_news(before.tables.get(name), state)}
        gone = tuple(name for name in content.dropped if name in before.tables)
        count = sum(self._disputed(commit, name, identity) for name, identity in content.conflicts.items())
        keys = self._session.commits.new_keys(commit)
        return LogEntry(commit, content, tables, gone, count, self._session.ancestry.parents(commit), renumbered=keys)

    def _before(self, content: Commit) -> Tree:
        return self._session.commits.tree(content.parents[0].commit) if content.parents else EMPTY

    def _with_row(self, entry: LogEntry) -> LogEntry:
        return replace(entry, row=self._row_step(entry))

    def _row_step(self, entry: LogEntry) -> RowStep | None:
        assert self._table is not None
        new = self._stored(entry.tables.get(self._table))
        old = self._stored(self._before(entry.commit).tables.get(self._table))
        some = new or old
        assert some is not None
        assert self._key is not None
        schema = some.schema
        key = tuple(canonical(value) for value in parse_key(self._key, self._table, schema))
        before, after = _row_of(old, schema, key), _row_of(new, schema, key)
        return RowStep(schema, key, before, after) if before != after else None

    def _stored(self, state: TableState | None) -> StoredTable | None:
        from prontosync.tables.reader import StoredTable

        session = self._session
        return StoredTable(session.repo.objects, session.engine, self._table or "", state) if state else None

    def _disputed(self, commit: ObjectId, name: str, identity: ObjectId) -> int:
        if (name, identity) not in self._counts:
            found = table_disputes(self._session, self._session.commits.tree(commit), name)
            self._counts[name, identity] = len(found)
        return self._counts[name, identity]

    def _refuse(self, table: str) -> None:
        if self._key is None:
            raise NoSuchTable(f'there is no table "{table}" in this history', "see: prontosync ls-tables")
        raise NoSuchRow(
            f'no row of table "{table}" in this history has the key {self._key}', "see: prontosync ls-tables"
        )


def walk(session: Session, tip: ObjectId) -> Iterator[ObjectId]:
    """A commit and all its ancestors that are here, deepest first."""
    ancestry = session.ancestry
    queue, seen = [(-ancestry.depth(tip), tip)], {tip}
    while queue:
        _, commit = heapq.heappop(queue)
        yield commit
        for parent in ancestry.parents(commit):
            if parent not in seen:
                seen.add(parent)
                heapq.heappush(queue, (-ancestry.depth(parent), parent))


def changed_counts(entry: LogEntry) -> dict[str, Changes]:
    """By table, what the commit changed against its first parent."""
    return {name: state.changes for name, state in entry.tables.items()}


def _is_news(before: TableState | None, state: TableState) -> bool:
    if before is None or state.changes:
        return True
    return (before.schema, before.ddl) != (state.schema, state.ddl)


def _row_of(table: StoredTable | None, schema: TableSchema, key: Row) -> Row | None:
    """A row in the columns of ``schema``: NULL where the state lacks the column; none where it has another key."""
    if table is None or table.schema.key != schema.key:
        return None
    rows = rows_by_key(table.schema, table.rows_at(keys_table(table.schema, [key])))
    row = rows.get(key)
    if row is None:
        return None
    cells = dict(zip(table.schema.names, row, strict=True))
    return tuple(cells.get(name) for name in schema.names)
