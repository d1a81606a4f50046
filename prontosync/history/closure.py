"""What a commit needs: the objects that must be there before a ref may point to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prontosync.history.commits import Commits
from prontosync.model.ids import ObjectId, ObjectName
from prontosync.model.objects import Commit, Parent, TableState


def commit_name(commit: ObjectId) -> ObjectName:
    return ObjectName(commit, "json")


def direct_objects(commit: Commit) -> list[ObjectName]:
    """What a commit names itself, segments aside: schemas, definitions, checkpoints, patches, conflicts,
    rules, renumberings."""
    names = [name for state in commit.tables.values() for name in state_objects(state)]
    names += [ObjectName(identity, "parquet") for identity in commit.conflicts.values()]
    others = (commit.database, commit.policy, commit.renumbered)
    names += [ObjectName(identity, "json") for identity in others if identity]
    return list(dict.fromkeys(names))


def state_objects(state: TableState) -> list[ObjectName]:
    """What a table state names itself."""
    return [
        ObjectName(state.schema, "json"),
        ObjectName(state.ddl, "json"),
        ObjectName(state.checkpoint, "parquet"),
        *(ObjectName(patch, "parquet") for patch in state.patches),
    ]


def segments_of(commits: Commits, table: str, state: TableState) -> Iterator[tuple[ObjectName, int]]:
    """The segments of a table state, with their sizes; its schema and checkpoint must be there."""
    from prontosync.tables.layout import read_checkpoint
    from prontosync.tables.reader import read_schema

    rows = None if state.patches else state.rows
    schema = read_schema(commits.store, table, state.schema)
    for segment in read_checkpoint(commits.store, schema, state.checkpoint, rows):
        yield segment.name, segment.size


def commit_objects(
    commits: Commits, commit: ObjectId, known: set[ObjectName]
) -> Iterator[tuple[ObjectName, int | None]]:
    """Every object of the tables that a commit lists and of its conflicts, the commit last; those in ``known`` are left
    out and those given are added to it. Sizes where a checkpoint tells them."""
    content = commits.read(commit)
    for table, state in content.tables.items():
        new_checkpoint = ObjectName(state.checkpoint, "parquet") not in known
        yield from _fresh(((name, None) for name in state_objects(state)), known)
        if new_checkpoint:
            yield from _fresh(segments_of(commits, table, state), known)
    yield from _fresh(((name, None) for name in direct_objects(content)), known)
    yield from _fresh([(commit_name(commit), None)], known)


def tree_names(commits: Commits, commit: ObjectId) -> set[ObjectName]:
    """What the whole state of a commit names itself, and the commit."""
    states = commits.tree(commit).tables.values()
    names = (name for state in states for name in state_objects(state))
    return {commit_name(commit), *direct_objects(commits.read(commit)), *names}


def tree_objects(commits: Commits, commit: ObjectId) -> set[ObjectName]:
    """Every object that the whole state of a commit needs."""
    known = tree_names(commits, commit)
    for table, state in commits.tree(commit).tables.items():
        known.update(name for name, _ in segments_of(commits, table, state))
    return known


def brings_segments(commits: Commits, commit: ObjectId, known: set[ObjectName]) -> bool:
    """Whether a commit lists a checkpoint that is not in ``known``."""
    states = commits.read(commit).tables.values()
    return any(ObjectName(state.checkpoint, "parquet") not in known for state in states)


def travelling(commit: Commit, branch: str | None = None) -> list[Parent]:
    """The parents that come and go with a commit: the first, and others of the branch that it was made on, or of
    ``branch``. All others are boundaries: they may be absent."""
    own = {branch, *(parent.branch for parent in commit.parents[:1])}
    return [parent for number, parent in enumerate(commit.parents) if number == 0 or parent.branch in own]


def _fresh(
    names: Iterable[tuple[ObjectName, int | None]], known: set[ObjectName]
) -> Iterator[tuple[ObjectName, int | None]]:
    for name, size in names:
        if name not in known:
            known.add(name)
            yield name, size
