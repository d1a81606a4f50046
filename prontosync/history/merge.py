"""The three-way merge of states: bulk rows in one join, disputed rows by the rules of ``history.sets``.

A merge always completes. It is symmetric in the rows and candidates it gives, whichever side is called ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from prontosync.disk.objects import ObjectStore
from prontosync.engine.connection import Engine
from prontosync.history.commits import Tree, with_ddl
from prontosync.history.disputes import UNKNOWN, Disputes, Origin, read_disputes, write_disputes
from prontosync.model.hints import HintsOf, no_hints
from prontosync.model.ids import ObjectId
from prontosync.model.objects import Changes, TableState
from prontosync.model.progress import SILENT, Progress, by_table

if TYPE_CHECKING:
    from prontosync.history.merge_table import MergedTable, TableSide
    from prontosync.history.schema_merge import SchemaConflict
    from prontosync.history.sides import Unified


@dataclass(frozen=True)
class Rules:
    """What a merge goes by: which tables take part, the columns with policy ``sum``, the branch that ``--prefer``
    names.

    ``takes`` tells for a table whether theirs is merged into ours; ``adopt_new`` whether a table that only theirs has
    is taken whole, ``follows`` whether ours takes over keys and definitions where theirs are newer. ``prefer`` is
    "ours", "theirs" or None. ``trace`` finds where the candidates of new disputes came from. ``hints`` are of tables'
    schemas.
    """

    takes: Callable[[str], bool] = lambda table: True
    sums: Callable[[str], frozenset[str]] = lambda table: frozenset()
    adopt_new: bool = True
    prefer: str | None = None
    trace: Callable[[str, Disputes], None] | None = None
    hints: HintsOf = no_hints
    follows: bool = False


@dataclass(frozen=True)
class Counts:
    """Of one table: rows taken from theirs, rows in which both sides were combined, cells and rows newly in dispute."""

    taken: int = 0
    merged: int = 0
    disputed: int = 0
    held: int = 0


@dataclass(frozen=True)
class Merged:
    """The merged state, what happened in each table that differs from ours, and whether ``prefer`` decided anything.
    ``unmerged`` are tables that stayed as ours has them, because their schemas do not go together."""

    tree: Tree
    counts: Mapping[str, Counts] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()
    preferred: bool = False
    unmerged: tuple[SchemaConflict, ...] = ()


@dataclass(frozen=True)
class Sides:
    """Three states and where the outer two come from; an origin names branch, commit and moment."""

    base: Tree
    ours: Tree
    theirs: Tree
    our_origin: Origin
    their_origin: Origin


def merge_trees(store: ObjectStore, engine: Engine, sides: Sides, rules: Rules, progress: Progress = SILENT) -> Merged:
    """Merge ``theirs`` into ``ours``."""
    from prontosync.history.merge_table import MergedTable

    tables, conflicts = dict(sides.ours.tables), dict(sides.ours.conflicts)
    counts: dict[str, Counts] = {}
    waiting: list[str] = []
    unmerged: list[SchemaConflict] = []
    preferred = False
    for name in by_table(sorted(sides.theirs.tables), "merging", progress):
        if not rules.takes(name) or rules.hints(name).gone:
            continue
        if name not in sides.ours.tables:
            _adopt(sides, rules, name, tables, conflicts, counts, waiting)
            continue
        merged = _merge_one(store, engine, sides, rules, name)
        if merged is None:
            continue
        if not isinstance(merged, MergedTable):
            unmerged.append(merged)
            continue
        preferred = preferred or merged.preferred
        if not merged.differs:
            continue
        tables[name], counts[name] = merged.state, Counts(merged.taken, merged.merged, merged.disputed)
        if rules.trace is not None and merged.disputed:
            rules.trace(name, merged.disputes)
        identity = write_disputes(store, merged.disputes)
        conflicts.pop(name, None)
        if identity is not None:
            conflicts[name] = identity
    ended = {name for name in tables if rules.hints(name).gone}
    for name in ended:
        tables.pop(name)
        conflicts.pop(name, None)
    dropped = tuple(sorted({*sides.ours.dropped, *ended}))
    tree = replace(sides.ours, tables=tables, conflicts=conflicts, dropped=dropped)
    return Merged(tree, counts, tuple(waiting), preferred, tuple(unmerged))


def _adopt(
    sides: Sides,
    rules: Rules,
    name: str,
    tables: dict[str, TableState],
    conflicts: dict[str, ObjectId],
    counts: dict[str, Counts],
    waiting: list[str],
) -> None:
    """A table that only theirs has: taken whole where the base lacks it too, ours did not drop it, and there is no
    source that would have to hold it."""
    if name in sides.base.tables or name in sides.ours.dropped:
        return
    if not rules.adopt_new:
        waiting.append(name)
        return
    state = sides.theirs.tables[name]
    tables[name] = replace_changes(state, Changes(state.rows, 0, 0))
    counts[name] = Counts(taken=state.rows)
    if name in sides.theirs.conflicts:
        conflicts[name] = sides.theirs.conflicts[name]


def _merge_one(
    store: ObjectStore, engine: Engine, sides: Sides, rules: Rules, name: str
) -> MergedTable | SchemaConflict | None:
    """One table that both sides have, or None where ours stays as it is."""
    from prontosync.history.sides import Unified, need_one_schema, unified

    base_state = sides.base.tables.get(name)
    if _identical(sides.base, sides.theirs, name):
        return None
    if _identical(sides.ours, sides.theirs, name) and not rules.sums(name):
        return None
    ours = _side(store, engine, sides.ours, name, sides.our_origin)
    theirs = _side(store, engine, sides.theirs, name, sides.their_origin)
    base = _side(store, engine, sides.base, name, UNKNOWN) if base_state is not None else None
    hints = rules.hints(name)
    if not need_one_schema([side for side in (ours, theirs, base) if side], hints):
        return _merge_sides(engine, Unified(base, ours, theirs), rules, name)
    one = unified(store, base, ours, theirs, hints, rekey=rules.follows)
    if not isinstance(one, Unified):
        return one
    merged = _merge_sides(engine, one, rules, name) or _unchanged(one.ours)
    if rules.follows and _defines_more(theirs, ours, one.ours):
        merged = replace(merged, state=with_ddl(merged.state, theirs.table.state))
    return merged if _differs(ours, merged) else None


def _defines_more(theirs: TableSide, ours: TableSide, merged: TableSide) -> bool:
    """Whether theirs' definition is nearer to the merged table than ours."""
    if merged.table.schema.key != ours.table.schema.key:
        return True
    here, there = (set(merged.table.schema.names) & set(side.table.ddl.declared) for side in (ours, theirs))
    return there > here


def _merge_sides(engine: Engine, sides: Unified, rules: Rules, name: str) -> MergedTable | None:
    from prontosync.history.merge_table import merge_table

    base, ours, theirs = sides.base, sides.ours, sides.theirs
    if base is not None and _same(base, theirs):
        return None
    if base is not None and _same(base, ours):
        return _taken_whole(ours, theirs)
    return merge_table(engine, base, ours, theirs, rules.sums(name), rules.prefer)


def _unchanged(ours: TableSide) -> MergedTable:
    from prontosync.history.merge_table import MergedTable

    return MergedTable(ours.table.state, ours.disputes, taken=0, merged=0, disputed=0, preferred=False)


def _differs(ours: TableSide, merged: MergedTable) -> bool:
    """Whether what came of a merge in another schema is another state than ours was."""
    before, after = ours.table.state, merged.state
    if (before.schema, before.checkpoint, before.patches) != (after.schema, after.checkpoint, after.patches):
        return True
    return not merged.disputes.in_columns(ours.table.schema).same_as(ours.disputes)


def _taken_whole(ours: TableSide, theirs: TableSide) -> MergedTable | None:
    from prontosync.history.merge_table import MergedTable
    from prontosync.tables.compare import deltas_between
    from prontosync.tables.digest import schema_digest

    changes = Changes(0, 0, 0)
    for delta in deltas_between(ours.table, theirs.table):
        changes += delta.counts
    disputes = theirs.disputes.in_columns(ours.table.schema)
    if not changes and disputes.same_as(ours.disputes):
        return None
    mine, state = ours.table.state, theirs.table.state
    # A place keeps its own schema: the order of columns does not touch the digest, constraints that differ do.
    digest = state.digest if schema_digest(ours.table.schema) == schema_digest(theirs.table.schema) else None
    kept = TableState(mine.schema, mine.ddl, state.rows, digest, state.checkpoint, state.patches, changes)
    return MergedTable(kept, disputes, taken=changes.total, merged=0, disputed=0, preferred=False)


def replace_changes(state: TableState, changes: Changes) -> TableState:
    return TableState(state.schema, state.ddl, state.rows, state.digest, state.checkpoint, state.patches, changes)


def _side(store: ObjectStore, engine: Engine, tree: Tree, name: str, origin: Origin) -> TableSide:
    from prontosync.history.merge_table import TableSide
    from prontosync.tables.reader import StoredTable

    table = StoredTable(store, engine, name, tree.tables[name])
    return TableSide(table, read_disputes(table, tree.conflicts.get(name)), origin)


def _identical(a: Tree, b: Tree, name: str) -> bool:
    """Whether a table is stored alike on both sides, its conflicts too."""
    mine, other = a.tables.get(name), b.tables.get(name)
    if mine is None or other is None or a.conflicts.get(name) != b.conflicts.get(name):
        return False
    return (mine.schema, mine.checkpoint, mine.patches) == (other.schema, other.checkpoint, other.patches)


def _same(a: TableSide, b: TableSide) -> bool:
    from prontosync.tables.compare import same_rows

    return same_rows(a.table, b.table) and a.disputes.same_as(b.disputes.in_columns(a.table.schema))
