"""Change capture, switched on and off: the only place that writes it into a till's database."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from prontosync.errors import ProntoError
from prontosync.sources.capture_objects import CONTROL, Control, LiveObject, Objects, read_objects
from prontosync.sources.capture_triggers import PREFIX, Capture, unfit
from prontosync.sources.connection import Connection, ConstraintFailed
from prontosync.sources.contract import Mark, SourceBusy, SourceUnfit, TrackStatus
from prontosync.sources.statements import literal, quoted
from prontosync.sources.survey import Shape

PRUNED_AT_ONCE = 5_000
_PAUSE_SECONDS = 0.02

Shapes = Mapping[str, Shape]


def enable(connection: Connection, shapes: Shapes, tables: Sequence[str] | None) -> None:
    """The contract's ``Source.track_enable``, in the open transaction; writes nothing where all is right."""
    wanted = _wanted(shapes, tables)
    objects = read_objects(connection)
    own = objects.ours()
    kept = {one.table: one for one in objects.controls if objects.fault(one, shapes.get(one.table)) is None}
    asked = {one.table for one in objects.controls} | wanted
    missing = [name for name in shapes if name in asked - set(kept) and _fits(shapes[name])]
    _remove(connection, own, objects.controls, kept)
    if missing and not any(one.sql == CONTROL for one in own):
        connection.run(CONTROL)
    for name in missing:
        _add(connection, shapes[name])


def disable(connection: Connection) -> None:
    """The contract's ``Source.track_disable``, in the open transaction."""
    for one in read_objects(connection).ours():
        _drop(connection, one)


def status(connection: Connection, shapes: Shapes) -> tuple[TrackStatus, ...]:
    """The contract's ``Source.track_status``."""
    objects = read_objects(connection)
    controls = {one.table: one for one in objects.controls}
    names = sorted({*shapes, *controls})
    return tuple(_status(connection, objects, controls.get(name), shapes.get(name), name) for name in names)


def prune(connection: Connection, marks: Mapping[str, Mark]) -> int:
    """The contract's ``Source.track_prune``: many short transactions, none of which waits for long."""
    pruned = 0
    with suppress(SourceBusy):
        objects = read_objects(connection)
        notes = {one.table: f"{PREFIX}_{one.number}" for one in objects.controls}
        for name in sorted(name for name in marks if notes.get(name) in objects.found):
            while count := _prune_some(connection, notes[name], marks[name]):
                pruned += count
                # A till that waits for the lock looks for it only now and then.
                time.sleep(_PAUSE_SECONDS)
    return pruned


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """All of it or nothing. Raises SourceBusy."""
    connection.run("BEGIN IMMEDIATE")
    try:
        yield
        connection.run("COMMIT")
    except BaseException:
        # Some errors end the transaction by themselves, and then there is none to roll back.
        with suppress(ProntoError, ConstraintFailed):
            connection.run("ROLLBACK")
        raise


def _wanted(shapes: Shapes, tables: Sequence[str] | None) -> set[str]:
    """Raises SourceUnfit for a table that cannot be tracked."""
    if tables is None:
        return {name for name, shape in shapes.items() if _fits(shape)}
    for name in tables:
        if name not in shapes:
            raise SourceUnfit(f'there is no table "{name}" that is read', "see which are: prontosync track status")
        reason = unfit(shapes[name].live, shapes[name].key)
        if reason is not None:
            raise SourceUnfit(f'table "{name}" cannot be tracked: {reason}', "it is read in full, leave it out")
    return set(tables)


def _fits(shape: Shape) -> bool:
    return unfit(shape.live, shape.key) is None


def _remove(
    connection: Connection, own: Sequence[LiveObject], controls: Sequence[Control], kept: Mapping[str, Control]
) -> None:
    """Drop what belongs to no table that is kept."""
    numbers = {str(one.number) for one in kept.values()}
    for one in own:
        number = one.name[len(PREFIX) + 1 :].split("_")[0]
        if number not in numbers and one.sql != CONTROL:
            _drop(connection, one)
    for control in controls:
        if str(control.number) not in numbers:
            connection.run(f"DELETE FROM main.{quoted(PREFIX)} WHERE number = {control.number}")


def _drop(connection: Connection, one: LiveObject) -> None:
    connection.run(f"DROP {one.kind.upper()} main.{quoted(one.name)}")


def _add(connection: Connection, shape: Shape) -> None:
    name = literal(shape.live.name)
    connection.run(f"INSERT INTO main.{quoted(PREFIX)} (name, token) VALUES ({name}, lower(hex(randomblob(8))))")
    number = int(connection.value("SELECT last_insert_rowid()"))
    for statement in Capture(shape.live, number).statements().values():
        connection.run(statement)


def _status(
    connection: Connection, objects: Objects, control: Control | None, shape: Shape | None, name: str
) -> TrackStatus:
    if control is None:
        return TrackStatus(name, False, unfit(shape.live, shape.key) if shape else None, 0)
    notes = f"{PREFIX}_{control.number}"
    count = connection.value(f"SELECT count(*) FROM main.{quoted(notes)}") if notes in objects.found else 0
    return TrackStatus(name, True, objects.fault(control, shape), int(count))


def _prune_some(connection: Connection, notes: str, mark: Mark) -> int:
    # The note at the mark stays: it is how the mark is known again, and the next note is numbered after it.
    table = f"main.{quoted(notes)}"
    old = f"SELECT seq FROM {table} WHERE seq < {mark.seq} ORDER BY seq LIMIT {PRUNED_AT_ONCE}"
    here = f"EXISTS (SELECT 1 FROM {table} WHERE seq = {mark.seq} AND r = {mark.r})"
    with transaction(connection):
        connection.run(f"DELETE FROM {table} WHERE seq IN ({old}) AND {here}")
        return int(connection.value("SELECT changes()"))
