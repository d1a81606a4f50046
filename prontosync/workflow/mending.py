"""What a live database lacks of its branch, and the statements that would mend it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prontosync.model.schema import Ddl, decimal_parts
from prontosync.sources.statements import quoted
from prontosync.workflow.session import Session
from prontosync.workflow.states import remote_branches

if TYPE_CHECKING:
    from prontosync.history.commits import Tree
    from prontosync.history.live_view import LiveView
    from prontosync.tables.reader import StoredTable

_DECLARED = {
    "bool": "BOOLEAN",
    "int64": "INTEGER",
    "float64": "REAL",
    "text": "TEXT",
    "bytes": "BLOB",
    "date": "DATE",
    "time": "TIME",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TEXT",
    "json": "JSON",
    "uuid": "UUID",
    "any": "",
}


@dataclass(frozen=True)
class Mending:
    """``columns`` has, by table, the declared types of columns that are to be added; ``tables`` are to be made.
    ``statements`` do it."""

    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    tables: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()


def mending(session: Session, old: Tree, after: Tree) -> Mending:
    """What the live database, which has the tables of ``old``, lacks of a state."""
    columns: dict[str, dict[str, str]] = {}
    tables, statements = [], []
    for name in sorted(after.tables):
        if not session.selection.chosen(name):
            continue
        table = _table(session, after, name)
        if name not in old.tables:
            tables.append(name)
            statements += creation(table.ddl)
            continue
        added = dict(_added(session, table, view_of(session, old, after, name)))
        if added:
            columns[name] = added
            statements += [_addition(name, column, kind) for column, kind in added.items()]
    return Mending(columns, tuple(tables), tuple(statements))


def view_of(session: Session, old: Tree, after: Tree, name: str) -> LiveView:
    """What of a table of ``after`` the live database has, which defines it as in ``old``."""
    from prontosync.history.live_view import live_view

    before = _table(session, old, name)
    return live_view(_table(session, after, name).schema, before.ddl, session.hints(name))


def creation(ddl: Ddl) -> list[str]:
    """The statements that make a table and its indexes; triggers stay with the database that has them."""
    return [text for text in ddl.statements if text.startswith(("CREATE TABLE", "CREATE INDEX", "CREATE UNIQUE INDEX"))]


def _added(session: Session, table: StoredTable, view: LiveView) -> Iterator[tuple[str, str]]:
    gone = dropped_here(session, table.name, view.carried)
    for column in view.carried:
        if column not in gone and column not in table.schema.key:
            yield column, _declared(session, table, column)


def _addition(table: str, column: str, declared: str) -> str:
    return f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(column)} {declared}".rstrip()


def _declared(session: Session, table: StoredTable, column: str) -> str:
    """As another place declares it, the upstream first; else by the branch's type."""
    for ddl in _others(session, table.name):
        if column in ddl.declared:
            return ddl.declared[column]
    kind = table.schema.type_of(column)
    parts = decimal_parts(kind)
    return "DECIMAL({},{})".format(*parts) if parts else _DECLARED[kind]


def _others(session: Session, table: str) -> Iterator[Ddl]:
    from prontosync.tables.reader import read_ddl

    store = session.repo.config.store
    upstream = store.upstream if store else None
    branches = remote_branches(session)
    for ref in sorted(branches, key=lambda ref: (ref != upstream, ref)):
        state = session.commits.tree(branches[ref]).tables.get(table)
        if state is not None:
            yield read_ddl(session.repo.objects, state.ddl)


MOST_COMMITS = 2_000


def dropped_here(session: Session, table: str, carried: Iterable[str]) -> set[str]:
    """Those of a table's carried columns that this place's live database had: it dropped them. Looks back at most
    ``MOST_COMMITS`` commits of the branch."""
    from prontosync.tables.reader import read_ddl

    left, found = set(carried), set[str]()
    head = session.head()
    if not left or head is None:
        return found
    known: set[str] = set()
    for number, commit in enumerate(session.ancestry.first_parents(head)):
        state = session.commits.read(commit).tables.get(table)
        if number >= MOST_COMMITS or not left:
            break
        if state is None or state.ddl in known:
            continue
        known.add(state.ddl)
        here = left & read_ddl(session.repo.objects, state.ddl).declared.keys()
        found |= here
        left -= here
    return found


def _table(session: Session, tree: Tree, name: str) -> StoredTable:
    from prontosync.tables.reader import StoredTable

    return StoredTable(session.cached_store, session.engine, name, tree.tables[name])
