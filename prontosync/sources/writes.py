"""The statements of an apply: by sets of rows, in an order that foreign keys allow, values swapped in two steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prontosync.model.progress import UNTOLD, Task
from prontosync.sources.connection import Connection, ConstraintFailed
from prontosync.sources.contract import ConstraintBroken
from prontosync.sources.foreignkeys import children_first
from prontosync.sources.staging import Kind, Staged
from prontosync.sources.statements import quoted
from prontosync.sources.typemap import affinity

Statement = Callable[[str], str]
"""SQL from a condition on ``n``, the staged rows it is for."""


class OrderMatters(Exception):
    """A constraint failed that another order may satisfy. Never leaves this room."""


def write_rows(connection: Connection, tables: Sequence[Staged], task: Task = UNTOLD) -> None:
    """Write everything, in the open transaction. Raises ConstraintBroken, naming the row."""
    connection.run("SAVEPOINT _ps_write")
    first = _Writer(connection, tables, task, last=False)
    try:
        first.straight()
    except OrderMatters:
        connection.run("ROLLBACK TO _ps_write")
        task.advance(-first.written)
        _Writer(connection, tables, task, last=True).in_two_steps()
    connection.run("RELEASE _ps_write")


class _Writer:
    """``last`` tells that no other order will be tried; ``written`` are the rows that ``task`` was told of."""

    def __init__(self, connection: Connection, tables: Sequence[Staged], task: Task, *, last: bool) -> None:
        self._connection, self._task, self._last = connection, task, last
        self.written = 0
        self._children_first = children_first(tables)

    def straight(self) -> None:
        # Rows that are pointed elsewhere leave their parents before these go: a cascade would take them along.
        for table in self._children_first:
            self._update(table, [mask for mask in table.masks if set(mask) & _referring(table)])
        self._delete_all()
        for table in reversed(self._children_first):
            self._update(table, [mask for mask in table.masks if mask and not set(mask) & _referring(table)])
            self._tell(table, "new")
        self._insert_all()

    def in_two_steps(self) -> None:
        for table in self._children_first:
            for mask in table.masks:
                self._park(table, mask)
            self._let_go(table)
        self._delete_all()
        for table in reversed(self._children_first):
            self._update(table, [mask for mask in table.masks if mask])
            self._tell(table, "new")
        self._insert_all()

    def _delete_all(self) -> None:
        for table in self._children_first:
            if table.count("deletes"):
                self._run(table, "deletes", _delete(table))
                self._tell(table, "deletes")

    def _insert_all(self) -> None:
        for table in reversed(self._children_first):
            if table.count("inserts"):
                self._run(table, "inserts", _insert(table))
                self._tell(table, "inserts")

    def _tell(self, table: Staged, kind: Kind) -> None:
        """All rows of a kind are written."""
        self.written += table.count(kind)
        self._task.advance(table.count(kind))

    def _update(self, table: Staged, masks: Iterable[tuple[str, ...]]) -> None:
        for mask in masks:
            values = {name: f"n.{table.staged(name)}" for name in mask}
            self._run(table, "new", _update(table, "new", values, _of_mask(table, mask)))

    def _park(self, table: Staged, mask: tuple[str, ...]) -> None:
        """Set unique columns to values that nobody has, and columns that refer to parents to their final ones."""
        unique, referring = _unique(table), _referring(table)
        values = {name: f"n.{table.staged(name)}" for name in mask if name in referring - unique}
        values |= {name: _parking(table, name) for name in mask if name in unique}
        if values:
            self._run(table, "new", _update(table, "new", values, _of_mask(table, mask)))

    def _let_go(self, table: Staged) -> None:
        """Rows to be deleted stop referring to others where RESTRICT would not let those go first."""
        restricted = {n for key in table.live.foreign_keys if key.on_delete == "RESTRICT" for n in key.columns}
        values = {c.name: "NULL" for c in table.live.columns if c.name in restricted and not c.not_null and not c.key}
        if values and table.count("deletes"):
            self._run(table, "deletes", _update(table, "deletes", values, "1"))

    def _run(self, table: Staged, kind: Kind, statement: Statement) -> None:
        self._task.at(f'writing "{table.name}" to the live database')
        try:
            self._connection.run(statement("1"))
        except ConstraintFailed as error:
            ordering = str(error).startswith(("UNIQUE", "FOREIGN KEY"))
            if ordering and not self._last:
                raise OrderMatters from error
            rowid = self._failing(table.count(kind), statement)
            raise ConstraintBroken(
                f'table "{table.name}", row ({table.key_text(kind, rowid)}): the database refuses it: {error}',
                row=table.refused(kind, rowid),
            ) from error

    def _failing(self, rows: int, statement: Statement) -> int:
        """The first row with which the statement fails, found by halves; the transaction ends anyway."""
        low, high = 1, rows
        while low < high:
            middle = (low + high) // 2
            try:
                self._connection.run(statement(f"n.rowid BETWEEN {low} AND {middle}"))
                low = middle + 1
            except ConstraintFailed:
                high = middle
        return low


def _delete(table: Staged) -> Statement:
    identity = [table.live.rowid] if table.live.rowid else [quoted(name) for name in table.live.primary]
    left = identity[0] if len(identity) == 1 else f"({', '.join(identity)})"
    chosen = ", ".join(f"t.{name}" for name in identity)
    found = f"FROM {table.temp('deletes')} AS n CROSS JOIN {table.main} AS t WHERE {table.matches('t', 'n')}"
    return lambda rows: f"DELETE FROM {table.main} WHERE {left} IN (SELECT {chosen} {found} AND {rows})"


def _insert(table: Staged) -> Statement:
    columns = ", ".join(quoted(name) for name in table.written)
    values = ", ".join(f"n.{table.staged(name)}" for name in table.written)
    source = table.temp("inserts")
    return lambda rows: (
        f"INSERT INTO {table.main} ({columns}) SELECT {values} FROM {source} AS n WHERE {rows} ORDER BY n.rowid"
    )


def _update(table: Staged, kind: Kind, values: dict[str, str], condition: str) -> Statement:
    settings = ", ".join(f"{quoted(name)} = {value}" for name, value in values.items())
    found = f"FROM {table.temp(kind)} AS n WHERE {condition} AND {table.matches('t', 'n')}"
    return lambda rows: f"UPDATE {table.main} AS t SET {settings} {found} AND {rows}"


def _of_mask(table: Staged, mask: tuple[str, ...]) -> str:
    return f"n.mask = {table.masks.index(mask)}"


def _referring(table: Staged) -> set[str]:
    return {name for key in table.live.foreign_keys for name in key.columns}


def _unique(table: Staged) -> set[str]:
    names = {name for index in table.live.indexes if index.unique for name in index.columns}
    return names | ({table.live.rowid_key} if table.live.rowid_key else set())


def _parking(table: Staged, name: str) -> str:
    """A value for the meantime: NULL, or one below all that anybody uses."""
    column = next(c for c in table.live.columns if c.name == name)
    if not column.not_null and not column.key:
        return "NULL"
    if affinity(column.declared) == "text":
        return "'_ps_' || hex(randomblob(8)) || n.rowid"
    # 2^52, so that a column of reals still tells the numbers apart.
    return "randomblob(16)" if affinity(column.declared) == "blob" else "-(4503599627370496 + n.rowid)"
