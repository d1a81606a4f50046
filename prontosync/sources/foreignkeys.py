"""Foreign keys around an apply: rows that would be left without a parent, found before a cascade can touch them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prontosync.sources.catalog import Catalog, LiveForeignKey, LiveTable
from prontosync.sources.connection import Connection
from prontosync.sources.contract import ConstraintBroken
from prontosync.sources.staging import Kind, Staged
from prontosync.sources.statements import quoted


def foreign_keys(catalog: Catalog) -> list[LiveForeignKey]:
    """All that have a parent table."""
    return [key for table in catalog.tables.values() for key in table.foreign_keys if key.parent]


def children_first(tables: Sequence[Staged]) -> list[Staged]:
    """An order in which, cycles apart, no table comes before one that refers to it."""
    by_name = {table.name: table for table in tables}
    done: list[str] = []
    seen: set[str] = set()
    for name in by_name:
        _visit(name, by_name, seen, done)
    return [by_name[name] for name in reversed(done)]


def _visit(name: str, by_name: Mapping[str, Staged], seen: set[str], done: list[str]) -> None:
    # Parents are done before their children; a stack of our own, for chains of references may be long.
    stack: list[tuple[str, Iterator[str]]] = []
    while True:
        if name not in seen:
            seen.add(name)
            parents = (key.table for key in by_name[name].live.foreign_keys if key.table in by_name)
            stack.append((name, parents))
        if not stack:
            return
        following = next((parent for parent in stack[-1][1] if parent not in seen), None)
        if following is None:
            done.append(stack.pop()[0])
            name = stack[-1][0] if stack else name
        else:
            name = following


def check_children(connection: Connection, catalog: Catalog, staged: Mapping[str, Staged]) -> None:
    """Before writing: no row outside the changes may refer to a row that goes. Raises ConstraintBroken."""
    for key in foreign_keys(catalog):
        parent = staged.get(key.table)
        if parent is not None:
            _check_left(connection, key, parent, catalog.tables[key.child], staged.get(key.child))


def check_parents(connection: Connection, catalog: Catalog, staged: Mapping[str, Staged]) -> None:
    """After writing: each row that was inserted or pointed elsewhere has its parent. Raises ConstraintBroken."""
    for key in foreign_keys(catalog):
        child = staged.get(key.child)
        if child is not None:
            _check_orphans(connection, key, child, "inserts", "1")
            if child.touches(key.columns):
                _check_orphans(connection, key, child, "new", child.touching(key.columns, "n"))


def _check_left(
    connection: Connection, key: LiveForeignKey, parent: Staged, child: LiveTable, staged: Staged | None
) -> None:
    leaving: list[tuple[Kind, str, str]] = []
    if parent.count("deletes"):
        leaving.append(("deletes", "1", key.on_delete))
    if parent.touches(key.parent):
        leaving.append(("old", parent.touching(key.parent, "n"), key.on_update))
    refers = _joined("p", key.parent, "c", key.columns)
    for kind, condition, action in leaving:
        conditions = [parent.matches("p", "n"), condition, refers]
        if staged is not None:
            conditions.append(f"NOT {staged.is_staged('deletes', 'c')}")
            if staged.touches(key.columns):
                conditions.append(f"NOT {staged.is_staged('old', 'c', staged.touching(key.columns, 's'))}")
        if action == "NO ACTION":
            conditions += [f"NOT {again}" for again in _given_again(key, parent)]
        found = connection.rows(
            f"SELECT {_name_of(child)} AS row, n.rowid AS n FROM {parent.temp(kind)} AS n CROSS JOIN {parent.main} AS p"
            f" CROSS JOIN main.{quoted(child.name)} AS c WHERE {' AND '.join(conditions)} LIMIT 1"
        )
        if found:
            verb = "be deleted" if kind == "deletes" else "get another key"
            raise ConstraintBroken(
                f'table "{child.name}", row ({found[0]["row"]}) refers to a row of "{parent.name}" that is to {verb}',
                row=parent.refused(kind, int(found[0]["n"])),
            )


def _given_again(key: LiveForeignKey, parent: Staged) -> Iterator[str]:
    """Whether the changes bring another parent row with the same values."""
    written = set(parent.written)
    if not set(key.parent) <= written:
        return
    same = " AND ".join(f"g.{parent.staged(name)} IS (+p.{quoted(name)}) COLLATE BINARY" for name in key.parent)
    yield f"EXISTS (SELECT 1 FROM {parent.temp('inserts')} AS g WHERE {same})"
    if parent.touches(key.parent):
        yield f"EXISTS (SELECT 1 FROM {parent.temp('new')} AS g WHERE {parent.touching(key.parent, 'g')} AND {same})"


def _check_orphans(connection: Connection, key: LiveForeignKey, child: Staged, kind: Kind, condition: str) -> None:
    if not child.count(kind):
        return
    given = " AND ".join(f"c.{quoted(name)} IS NOT NULL" for name in key.columns)
    parent = f"SELECT 1 FROM main.{quoted(key.table)} AS p WHERE {_joined('p', key.parent, 'c', key.columns)}"
    rowid = connection.value(
        f"SELECT n.rowid AS n FROM {child.temp(kind)} AS n CROSS JOIN {child.main} AS c"
        f" WHERE {condition} AND {child.matches('c', 'n')} AND {given} AND NOT EXISTS ({parent}) LIMIT 1"
    )
    if rowid is not None:
        columns = ", ".join(key.columns)
        raise ConstraintBroken(
            f'table "{child.name}", row ({child.key_text(kind, rowid)}): its foreign key ({columns}) finds no row in'
            f' table "{key.table}"',
            row=child.refused(kind, rowid),
        )


def _joined(parent: str, parents: Sequence[str], child: str, children: Sequence[str]) -> str:
    # The parent stands on the left, for its collation decides.
    return " AND ".join(f"{parent}.{quoted(a)} = {child}.{quoted(b)}" for a, b in zip(parents, children, strict=True))


def _name_of(table: LiveTable) -> str:
    """SQL for a row's key as a message shows it."""
    names = [*table.primary] or [table.rowid or table.columns[0].name]
    return " || ', ' || ".join(
        "'" + name.replace("'", "''") + "=' || quote(c." + (name if name == table.rowid else quoted(name)) + ")"
        for name in names
    )
