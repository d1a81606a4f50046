"""Revert and undo: take back what a commit, or the last merge, brought. Nothing newer is lost: it is a three-way
merge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from prontosync.errors import NotFound, UsageError
from prontosync.history.commits import EMPTY, Tree
from prontosync.history.disputes import Disputes, Origin, keys_table, read_disputes, rows_by_key, write_disputes
from prontosync.history.following import Following
from prontosync.history.lineage import Version
from prontosync.history.merge import MergeTerms, Sides, merge_trees
from prontosync.history.row_patch import row_patch
from prontosync.model.ids import ObjectId
from prontosync.model.keys import parse_key
from prontosync.model.objects import Parent
from prontosync.model.schema import TableSchema, differences
from prontosync.model.values import Row, canonical
from prontosync.tables.reader import StoredTable
from prontosync.tables.states import store_changes
from prontosync.workflow import rules
from prontosync.workflow.integrate import Build, Forecast, Next, Outcome, forecast, integrate
from prontosync.workflow.session import Session
from prontosync.workflow.terms import hints_by, taking_back

_MOVES = ("merge", "pull")


class NothingToUndo(NotFound):
    id = "nothing-to-undo"


class UnknownRow(NotFound):
    id = "unknown-table"


class KeyWithoutTable(UsageError):
    id = "key-without-table"


@dataclass(frozen=True)
class Part:
    """What of a commit is taken back: all, one table, or one row of it (``key`` as people write it)."""

    table: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class _Inverse:
    """The change from ``base`` to ``theirs`` is what is merged in; ``commits`` are what the two are of."""

    base: Tree
    theirs: Tree
    origin: Origin
    message: str
    commits: tuple[ObjectId, ObjectId | None]


def revert(
    session: Session, commit: ObjectId, part: Part, message: str = "", allow_deletes: Sequence[str] = ()
) -> Outcome:
    """Take back what ``commit`` brought against its first parent; the caller has the lock."""
    return integrate(session, "revert", _revert_build(session, commit, part, message), allow_deletes)


def revert_forecast(session: Session, commit: ObjectId, part: Part) -> Forecast:
    """What ``revert`` would do, from the head as it is."""
    return forecast(session, _revert_build(session, commit, part, ""))


def undo(session: Session, message: str = "", allow_deletes: Sequence[str] = ()) -> Outcome:
    """Take back the last move of the branch that a merge or pull made. Raises NothingToUndo."""
    return integrate(session, "undo", _undo_build(session, message), allow_deletes)


def undo_forecast(session: Session) -> Forecast:
    """What ``undo`` would do, from the head as it is."""
    return forecast(session, _undo_build(session, ""))


def _undo_build(session: Session, message: str) -> Build:
    # Which move was the last is known only after the snapshot: it settles what a run that was cut had written.
    return lambda head: _build(session, head, _last_inverse(session, message), Part())


def _last_inverse(session: Session, message: str) -> _Inverse:
    before, after = _last_move(session)
    return _Inverse(
        session.commits.tree(after),
        session.commits.tree(before),
        Origin(session.repo.branch, before, "", session.now()),
        message or f"undo the merge that led to {after[:12]}",
        (after, before),
    )


def _revert_build(session: Session, commit: ObjectId, part: Part, message: str) -> Build:
    content = session.commits.read(commit)
    before = session.commits.tree(content.parents[0].commit) if content.parents else EMPTY
    subject = content.message.splitlines()[0] if content.message else commit[:12]
    inverse = _Inverse(
        session.commits.tree(commit),
        before,
        Origin(session.repo.branch, commit, "", session.now()),
        message or f'revert "{subject}"\n\nthis takes back commit {commit}',
        (commit, content.parents[0].commit if content.parents else None),
    )
    return lambda head: _build(session, head, inverse, part)


def _build(session: Session, head: ObjectId, inverse: _Inverse, part: Part) -> Next:
    from prontosync.workflow.holding import with_holds
    from prontosync.workflow.invariants import Four, checked

    ours = session.commits.tree(head)
    _check_part(part, inverse)
    inverse = _followed(session, head, inverse)
    base, theirs = _limited(session, inverse, part)
    sides = Sides(base, ours, theirs, Origin(session.repo.branch, head, "", session.now()), inverse.origin)
    said = rules.in_force(session, head)
    terms = MergeTerms(
        takes=lambda table: part.table in (None, table),
        policies=taking_back(said),
        adopt_new=False,
        hints=hints_by(said),
    )
    merged = merge_trees(session.merge_store, session.engine, sides, terms, session.progress)
    merged = with_holds(session, ours, merged, [(theirs, inverse.origin)])
    states = Four(base, ours, theirs, merged.tree)
    merged = replace(merged, tree=checked(session, said, states, inverse.origin).tree)
    if merged.tree.tables == ours.tables and merged.tree.conflicts == ours.conflicts:
        return Next(None)
    parents = (Parent(head, session.repo.branch),)
    policy = rules.named(session, said, head)
    commit = session.commits.add(merged.tree, parents, session.stamp(), inverse.message, policy=policy)
    return Next(commit, merged=True, counts=merged.counts)


def _followed(session: Session, head: ObjectId, inverse: _Inverse) -> _Inverse:
    """The same under the keys that rows have now: a row that got another one keeps it, whatever is taken back."""
    following = Following(session.ancestry, session.merge_store, session.cached_store, session.engine)
    after, before = inverse.commits
    base = following.follow(Version(inverse.base, [after]), [head]).tree
    tips = [before] if before is not None else []
    return replace(inverse, base=base, theirs=following.follow(Version(inverse.theirs, tips), [head, after]).tree)


def _check_part(part: Part, inverse: _Inverse) -> None:
    if part.key is not None and part.table is None:
        raise KeyWithoutTable("a key needs the table that it is of", "add --table TABLE")
    if part.table is not None and part.table not in inverse.base.tables:
        raise UnknownRow(f'there is no table "{part.table}" in that commit', "see: prontosync ls-tables")


def _limited(session: Session, inverse: _Inverse, part: Part) -> tuple[Tree, Tree]:
    """Base and theirs; where one row is taken back, theirs is the base with that row as it was."""
    table, key = part.table, part.key
    if table is None or key is None or table not in inverse.theirs.tables:
        return inverse.base, inverse.theirs
    store = session.merge_store  # theirs may be taken whole: not from a cache
    base = StoredTable(store, session.engine, table, inverse.base.tables[table])
    theirs = StoredTable(store, session.engine, table, inverse.theirs.tables[table])
    wanted = tuple(canonical(value) for value in parse_key(key, table, base.schema))
    mine = _row(base, base.schema, wanted)
    other = _row_across(theirs, base.schema, wanted, mine)
    if mine is None and other is None:
        raise UnknownRow(f'table "{table}" has no row "{key}" in that commit', f"prontosync log --table {table}")
    patch = row_patch(base.schema, [other] if other else [], [mine] if mine and not other else [])
    state = store_changes(base, patch)
    disputes = read_disputes(base, inverse.base.conflicts.get(table))
    if not differences(base.schema, theirs.schema):
        before = read_disputes(theirs, inverse.theirs.conflicts.get(table)).in_columns(base.schema)
        disputes = _with_one(disputes, before, wanted)
    identity = write_disputes(store, disputes)
    conflicts = {name: i for name, i in inverse.base.conflicts.items() if name != table}
    limited = replace(
        inverse.base,
        tables={**inverse.base.tables, table: state},
        conflicts={**conflicts, table: identity} if identity else conflicts,
    )
    return inverse.base, limited


def _row(table: StoredTable, schema: TableSchema, key: Row) -> Row | None:
    """A row by its key, in the columns of ``schema``."""
    rows = table.rows_at(keys_table(schema, [key])).select(schema.names)
    return rows_by_key(schema, rows).get(key)


def _row_across(table: StoredTable, schema: TableSchema, key: Row, otherwise: Row | None) -> Row | None:
    """A row by its key, in the columns of ``schema``; what the table does not have so is as in another row."""
    if not differences(schema, table.schema):
        return _row(table, schema, key)
    types = {column.name: column.type for column in table.schema.columns}
    if table.schema.key != schema.key or any(types[name] != kind for name, kind in schema.key_types):
        raise UnknownRow("the table had another key in that commit", "take back the whole table: leave out --key")
    found = _row(table, table.schema, key)
    if found is None:
        return None
    held = dict(zip(schema.names, otherwise or (None,) * len(schema.names), strict=True))
    had = dict(zip(table.schema.names, found, strict=True))
    return tuple(had[c.name] if types.get(c.name) == c.type else held[c.name] for c in schema.columns)


def _with_one(disputes: Disputes, other: Disputes, key: Row) -> Disputes:
    rows = {k: dispute for k, dispute in disputes.rows.items() if k != key}
    if key in other.rows:
        rows[key] = other.rows[key]
    return Disputes(disputes.schema, rows)


def _last_move(session: Session) -> tuple[ObjectId, ObjectId]:
    """(head before, head after) of the newest merge or pull here that was not undone already."""
    undone = 0
    for entry in session.repo.journal.newest_first():
        if entry.get("branch") != session.repo.branch:
            continue
        if entry.get("event") == "undo":
            undone += 1
        elif entry.get("event") in _MOVES or _is_recovered_move(session, entry):
            if undone:
                undone -= 1
                continue
            return ObjectId(entry["before"]), ObjectId(entry["after"])
    raise NothingToUndo("no merge or pull was made here that could be undone", "take back a commit: prontosync revert")


def _is_recovered_move(session: Session, entry: Mapping[str, Any]) -> bool:
    """Whether a run that was cut had merged, and the next one moved the branch: then it is no child of the head
    before."""
    if entry.get("event") != "recover" or not entry.get("before"):
        return False
    parents = session.commits.read(ObjectId(entry["after"])).parents
    return [parent.commit for parent in parents] != [entry["before"]]
