"""Change capture as it is found in a database: which tables are tracked, and whether their notes can be relied on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from prontosync.sources.capture_triggers import PREFIX, Capture, unfit
from prontosync.sources.connection import Connection
from prontosync.sources.contract import Mark, SourceUnfit, TableTracking
from prontosync.sources.statements import quoted
from prontosync.sources.survey import Shape

CONTROL = f'CREATE TABLE "{PREFIX}" (number INTEGER PRIMARY KEY, name TEXT NOT NULL, token TEXT NOT NULL)'
_NOTES = re.compile(rf'CREATE TABLE "{PREFIX}_\d+" \(seq INTEGER PRIMARY KEY, op, r DEFAULT \(random\(\)\), k0\b')


@dataclass(frozen=True)
class Control:
    """What the control table says of one table."""

    number: int
    table: str
    token: str


@dataclass(frozen=True)
class LiveObject:
    """One row of SQLite's own schema. ``place`` grows with the time at which the object was made."""

    name: str
    kind: str
    table: str
    sql: str
    place: int

    @property
    def ours(self) -> bool:
        name = self.name.lower()
        return name == PREFIX or name.startswith(f"{PREFIX}_")


@dataclass(frozen=True)
class Objects:
    """All triggers of a database, and the tables of capture."""

    path: str
    found: Mapping[str, LiveObject]
    """By name in lower case."""
    controls: tuple[Control, ...]
    schema_version: int

    def ours(self) -> list[LiveObject]:
        """What capture made, triggers first. Raises SourceUnfit where a table of that name is somebody else's."""
        own = [one for one in self.found.values() if one.ours]
        for one in own:
            if one.kind != "trigger" and one.sql != CONTROL and not _NOTES.match(one.sql):
                raise SourceUnfit(
                    f'{one.kind} "{one.name}" of database "{self.path}" is not one that this program makes',
                    f"rename that {one.kind}",
                )
        return sorted(own, key=lambda one: one.kind != "trigger")

    def fault(self, control: Control, shape: Shape | None) -> str | None:
        """Why the notes of a table cannot be relied on, or None."""
        if shape is None:
            return "the table is gone, or it is not read"
        reason = unfit(shape.live, shape.key)
        if reason is not None:
            return reason
        statements = Capture(shape.live, control.number).statements()
        present = [self.found.get(name) for name in statements]
        if None in present:
            return "triggers are gone, as when a table is dropped and made again"
        if any(one is None or one.sql != sql for one, sql in zip(present, statements.values(), strict=True)):
            return "its triggers are not those that its definition asks for"
        return self._overtaken(shape.live.name, [one for one in present if one and one.kind == "trigger"])

    def _overtaken(self, table: str, triggers: list[LiveObject]) -> str | None:
        # SQLite fires the newest trigger first. One of the till's may touch the row that was just inserted, and the
        # note of that must not stand before the note of the insert.
        first = min(one.place for one in triggers)
        others = [one for one in self.found.values() if one.kind == "trigger" and one not in triggers]
        newer = [one for one in others if one.table.lower() == table.lower() and one.place > first]
        return f'trigger "{newer[0].name}" was made later than those that note changes' if newer else None


def read_objects(connection: Connection) -> Objects:
    """In the connection's transaction."""
    rows = connection.rows(
        "SELECT rowid AS place, type, name, tbl_name, sql FROM main.sqlite_schema WHERE sql IS NOT NULL"
        rf" AND (type = 'trigger' OR name LIKE '{PREFIX.replace('_', '#_')}%' ESCAPE '#') ORDER BY rowid"
    )
    objects = (LiveObject(row["name"], row["type"], row["tbl_name"], row["sql"], row["place"]) for row in rows)
    found = {one.name.lower(): one for one in objects}
    version = int(connection.value("PRAGMA main.schema_version"))
    return Objects(str(connection.path), found, _controls(connection, found), version)


def read_tracking(
    connection: Connection, shapes: Mapping[str, Shape]
) -> tuple[dict[str, TableTracking], dict[str, str]]:
    """The contract's ``SourceState.tracking`` and ``untracked``."""
    objects = read_objects(connection)
    tracking: dict[str, TableTracking] = {}
    untracked: dict[str, str] = {}
    for control in objects.controls:
        shape = shapes.get(control.table)
        if shape is None:
            continue
        fault = objects.fault(control, shape)
        if fault is not None:
            untracked[control.table] = fault
            continue
        # Tables that are dropped and made again with all their triggers, as some tools do, look as they were. The
        # version that SQLite counts up with every definition tells.
        token = f"{control.token}-{objects.schema_version}"
        capture = Capture(shape.live, control.number)
        mark = _mark(connection, capture.notes)
        tracking[control.table] = TableTracking(control.number, token, mark, capture.counted)
    return tracking, untracked


def _controls(connection: Connection, found: Mapping[str, LiveObject]) -> tuple[Control, ...]:
    control = found.get(PREFIX)
    if control is None or control.sql != CONTROL:
        return ()
    rows = connection.rows(f"SELECT number, name, token FROM main.{quoted(PREFIX)} ORDER BY number")
    return tuple(Control(row["number"], row["name"], row["token"]) for row in rows)


def _mark(connection: Connection, notes: str) -> Mark:
    rows = connection.rows(f"SELECT seq, r FROM main.{quoted(notes)} ORDER BY seq DESC LIMIT 1")
    return Mark(rows[0]["seq"], rows[0]["r"]) if rows else Mark(0, 0)
