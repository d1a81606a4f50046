"""Writing changes to a live SQLite database: one transaction, guarded by before-images, or nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from prontosync.errors import ProntoError
from prontosync.model.objects import Changes
from prontosync.model.progress import SILENT, Progress, Task
from prontosync.sources.catalog import Catalog, read_catalog
from prontosync.sources.connection import Connection, ConstraintFailed
from prontosync.sources.contract import ConstraintBroken, RowChanges, RowsMoved, SchemaMoved, StateRow
from prontosync.sources.foreignkeys import check_children, check_parents
from prontosync.sources.staging import Kind, Loaded, Staged, load
from prontosync.sources.statetable import write_state_row
from prontosync.sources.writes import write_rows

_DEFINITION = re.compile(r"(CREATE (TABLE|INDEX|UNIQUE INDEX)|ALTER TABLE|DROP TABLE) ")


@dataclass(frozen=True)
class Definitions:
    """Statements that change definitions, and the tables that they make."""

    statements: tuple[str, ...] = ()
    made: tuple[str, ...] = ()


def apply_changes(
    connection: Connection,
    changes: Iterable[RowChanges],
    note: StateRow,
    before_commit: Callable[[], None] | None,
    progress: Progress = SILENT,
    definitions: Definitions = Definitions(),
) -> Mapping[str, Changes]:
    """The contract's ``Source.apply``."""
    connection.run("PRAGMA foreign_keys = ON")
    # ADBC's SQLite may be built otherwise than the till's, whose triggers rely on the default.
    connection.run("PRAGMA recursive_triggers = OFF")
    with progress.task("comparing with the live database", None, "rows") as task:
        loaded = _loaded(connection, changes, task)
    rows = sum(table.changed.total for table in loaded)
    with _transaction(connection):
        connection.run("PRAGMA defer_foreign_keys = ON")
        catalog = read_catalog(connection)
        _check_definitions(catalog, [one for one in loaded if one.table.name not in definitions.made])
        if definitions.statements:
            _define(connection, definitions)
            catalog = read_catalog(connection)
            _check_made(catalog, definitions)
        staged = {one.table.name: Staged(one, catalog.tables[one.table.name]) for one in loaded}
        with progress.task("comparing with the live database", rows, "rows") as task:
            for table in staged.values():
                _give_defaults(connection, table)
                task.at(f'comparing "{table.name}" with the live database')
                _check_before(connection, table)
                task.advance(table.loaded.changed.total)
            check_children(connection, catalog, staged)
        with progress.task("writing to the live database", rows, "rows") as task:
            write_rows(connection, list(staged.values()), task)
            for table in staged.values():
                _check_after(connection, table)
            check_parents(connection, catalog, staged)
        write_state_row(connection, note)
        if before_commit is not None:
            before_commit()
    return {table.table.name: table.changed for table in loaded}


def _loaded(connection: Connection, changes: Iterable[RowChanges], task: Task) -> list[Loaded]:
    """All rows in temporary tables. This transaction does not touch the database itself, and is in nobody's way."""
    connection.run("BEGIN")
    try:
        loaded = load(connection, changes, task)
        connection.run("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise
    return loaded


@contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    connection.run("BEGIN IMMEDIATE")
    try:
        yield
        connection.run("COMMIT")
    except ConstraintFailed as error:
        _roll_back(connection)
        raise ConstraintBroken(f"the database refuses the changes as a whole: {error}") from error
    except BaseException:
        _roll_back(connection)
        raise


def _roll_back(connection: Connection) -> None:
    # Some errors end the transaction by themselves, and then there is none to roll back.
    with suppress(ProntoError, ConstraintFailed):
        connection.run("ROLLBACK")


def _define(connection: Connection, definitions: Definitions) -> None:
    """Raises SchemaMoved where the database refuses a statement."""
    for statement in definitions.statements:
        if not _DEFINITION.match(statement):
            raise SchemaMoved(f'a statement that changes more than definitions: "{statement[:60]}"')
        try:
            connection.run(statement)
        except (ProntoError, ConstraintFailed) as error:
            raise SchemaMoved(f"the database refuses to be changed: {error}\n{statement}") from error


def _check_made(catalog: Catalog, definitions: Definitions) -> None:
    """What was made is just what the statements say: a statement that hides another one is no definition."""
    kept = {text for name in definitions.made if name in catalog.tables for text in catalog.tables[name].statements}
    for statement in definitions.statements:
        if statement.startswith("CREATE") and statement not in kept:
            raise SchemaMoved(f'the statement does not give what it says: "{statement[:60]}"')


def _give_defaults(connection: Connection, table: Staged) -> None:
    """Rows that come from places which lack a column have NULL there; where that is not allowed, the column's default
    stands for it, as it would for any other writer that does not know the column."""
    for column in table.live.columns:
        if column.not_null and column.given and column.name in table.written and table.count("inserts"):
            name = table.staged(column.name)
            connection.run(f"UPDATE {table.temp('inserts')} SET {name} = ({column.given}) WHERE {name} IS NULL")


def _check_definitions(catalog: Catalog, loaded: Sequence[Loaded]) -> None:
    for one in loaded:
        name, read = one.table.name, one.table.ddl.statements
        live = catalog.tables.get(name)
        if live is None:
            raise SchemaMoved(f'table "{name}" is not in the database any more')
        if live.statements != read:
            gone = [f"- {text}" for text in read if text not in live.statements]
            come = [f"+ {text}" for text in live.statements if text not in read]
            difference = "\n".join(gone + come) or "its definitions stand in another order"
            raise SchemaMoved(
                f'the definition of table "{name}" changed since it was read:\n{difference}', "prontosync snapshot"
            )


def _check_before(connection: Connection, table: Staged) -> None:
    """Before-images hold, and nothing is where rows are to be inserted. Raises RowsMoved."""
    for kind in ("deletes", "old"):
        found = (
            f"SELECT 1 FROM {table.main} AS t WHERE {table.matches('t', 'n')} AND {table.same('t', 'n', table.written)}"
        )
        _refuse(connection, table, kind, f"WHERE NOT EXISTS ({found})", "is not as it was read")
        if table.loaded.table.schema.key != table.live.primary:
            several = (
                f"CROSS JOIN {table.main} AS t WHERE {table.matches('t', 'n')} GROUP BY n.rowid HAVING count(*) > 1"
            )
            _refuse(connection, table, kind, several, "is there more than once")
    taken = f"CROSS JOIN {table.main} AS t WHERE {table.matches('t', 'n')} AND NOT {table.is_staged('deletes', 't')}"
    _refuse(connection, table, "inserts", taken, "is there already")


def _refuse(connection: Connection, table: Staged, kind: Kind, condition: str, words: str) -> None:
    rowid = _first(connection, table, kind, condition)
    if rowid is not None:
        raise RowsMoved(f'table "{table.name}", row ({table.key_text(kind, rowid)}) {words}')


def _check_after(connection: Connection, table: Staged) -> None:
    """Touched rows are as asked. Raises ConstraintBroken."""
    as_asked = (
        f"SELECT 1 FROM {table.main} AS t WHERE {table.matches('t', 'n')} AND {table.same('t', 'n', table.written)}"
    )
    still = f"CROSS JOIN {table.main} AS t WHERE {table.matches('t', 'n')} AND NOT {table.is_staged('inserts', 't')}"
    conditions: tuple[tuple[Kind, str], ...] = (
        ("inserts", f"WHERE NOT EXISTS ({as_asked})"),
        ("new", f"WHERE NOT EXISTS ({as_asked})"),
        ("deletes", still),
    )
    for kind, condition in conditions:
        rowid = _first(connection, table, kind, condition)
        if rowid is not None:
            raise ConstraintBroken(
                f'table "{table.name}", row ({table.key_text(kind, rowid)}) is not as it was written:'
                " a trigger or the column's declared type changes it",
                row=table.refused(kind, rowid),
            )


def _first(connection: Connection, table: Staged, kind: Kind, condition: str) -> int | None:
    if not table.count(kind):
        return None
    found = connection.value(f"SELECT n.rowid AS n FROM {table.temp(kind)} AS n {condition} LIMIT 1")
    return None if found is None else int(found)
