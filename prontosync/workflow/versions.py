"""Versions of the databases: which columns a branch carries for others, and which tables do not go together."""

from __future__ import annotations

from dataclasses import dataclass

from prontosync.history.live_view import live_view
from prontosync.history.schema_merge import SchemaConflict, schema_conflict
from prontosync.model.encoding import T, decode
from prontosync.model.ids import ObjectId, ObjectName
from prontosync.model.names import RefName
from prontosync.model.schema import Ddl, TableSchema
from prontosync.workflow.mending import dropped_here
from prontosync.workflow.merge import takes, theirs_of
from prontosync.workflow.rules import in_force
from prontosync.workflow.session import Session
from prontosync.workflow.states import remote_branches


@dataclass(frozen=True)
class Aside:
    """A table that does not go together with that of other branches."""

    conflict: SchemaConflict
    branches: tuple[str, ...]


@dataclass(frozen=True)
class Carried:
    """The columns of a table that the live database lacks, and those among them that it had."""

    columns: tuple[str, ...]
    dropped: tuple[str, ...]


def carried(session: Session, head: ObjectId) -> dict[str, Carried]:
    """What the branch carries, by table."""
    found = {}
    for name, state in session.commits.tree(head).tables.items():
        schema, ddl = _read(session, state.schema, TableSchema), _read(session, state.ddl, Ddl)
        view = live_view(schema, ddl, session.hints(name))
        if view.carried:
            dropped = dropped_here(session, name, view.carried)
            found[name] = Carried(view.carried, tuple(column for column in view.carried if column in dropped))
    return found


def asides(session: Session, head: ObjectId) -> list[Aside]:
    """The tables whose rows are not merged with branches of remotes, as last fetched, because their schemas differ."""
    found: dict[str, tuple[SchemaConflict, list[str]]] = {}
    mine = session.commits.tree(head).tables
    known: dict[tuple[str, ObjectId], SchemaConflict | None] = {}
    said = in_force(session, head)
    for ref, commit in sorted(remote_branches(session).items()):
        theirs = theirs_of(session, ref)
        if theirs.direction == "same":
            continue
        for name, state in session.commits.tree(commit).tables.items():
            if name not in mine or not takes(said, name, theirs.direction):
                continue
            if (name, state.schema) not in known:
                known[name, state.schema] = _conflict(session, name, mine[name].schema, state.schema)
            conflict = known[name, state.schema]
            if conflict is not None:
                found.setdefault(name, (conflict, []))[1].append(RefName(ref))
    return [Aside(conflict, tuple(refs)) for _, (conflict, refs) in sorted(found.items())]


def _conflict(session: Session, name: str, ours: ObjectId, theirs: ObjectId) -> SchemaConflict | None:
    if ours == theirs:
        return None
    mine, other = (_read(session, identity, TableSchema) for identity in (ours, theirs))
    return schema_conflict(name, mine, other, session.hints(name))


def _read(session: Session, identity: ObjectId, kind: type[T]) -> T:
    return decode(session.cached_store.read(ObjectName(identity, "json")), kind)
