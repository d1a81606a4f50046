"""The three-way merge of states: bulk rows in one join, disputed rows by the rules of ``history.sets``.

A merge always completes. It is symmetric in the rows and candidates it gives, whichever side is called ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from prontosync.disk.objects import ObjectStore
from prontosync.engine.connection import Engine
from prontosync.history.commits import Tree, with_ddl
from prontosync.history.decisions import Sink
from prontosync.history.disputes import UNKNOWN, Disputes, Origin, read_disputes, write_disputes
from prontosync.history.policies import NO_POLICIES, NOBODY, Policies, Writer
from prontosync.model.hints import HintsOf, no_hints
from prontosync.model.ids import ObjectId
from prontosync.model.objects import Changes, TableState
from prontosync.model.progress import SILENT, Progress, by_table
from prontosync.model.renumbering import NewKey

if TYPE_CHECKING:
    from prontosync.history.merge_table import MergedTable, TableSide
    from prontosync.history.schema_merge import SchemaConflict
    from prontosync.history.sides import Unified
    from prontosync.tables.reader import StoredTable


@dataclass(frozen=True)
class MergeTerms:
    """What a merge goes by: which tables take part, the policies of each, the branch that ``--prefer`` names.

    ``takes`` tells for a table whether theirs is merged into ours; ``adopt_new`` whether a table that only theirs has
    is taken whole, ``follows`` whether ours takes a key that only theirs changed, and a definition that is nearer to
    the merged table. ``prefer`` is "ours", "theirs" or None. ``trace`` finds where the candidates of new disputes came
    from; ``explain`` hears of each decision. ``hints`` are of tables' schemas.
    """

    takes: Callable[[str], bool] = lambda table: True
    policies: Callable[[StoredTable], Policies] = lambda table: NO_POLICIES
    adopt_new: bool = True
    prefer: str | None = None
    trace: Callable[[str, Disputes], None] | None = None
    explain: Sink | None = None
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
    ``unmerged`` are tables that stayed as ours has them, because their schemas do not go together. ``renumbered`` names
    the moves that were decided on in this merge, ``new_keys`` are those of ours' rows too."""

    tree: Tree
    counts: Mapping[str, Counts] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()
    preferred: bool = False
    unmerged: tuple[SchemaConflict, ...] = ()
    renumbered: ObjectId | None = None
    new_keys: tuple[NewKey, ...] = ()


@dataclass(frozen=True)
class Sides:
    """Three states and where the outer two come from: an origin names branch, commit and moment, a writer who made the
    changes."""

    base: Tree
    ours: Tree
    theirs: Tree
    our_origin: Origin
    their_origin: Origin
    our_writer: Writer = NOBODY
    their_writer: Writer = NOBODY


def merge_trees(
    store: ObjectStore, engine: Engine, sides: Sides, terms: MergeTerms, progress: Progress = SILENT
) -> Merged:
    """Merge ``theirs`` into ``ours``."""
    from prontosync.history.merge_table import MergedTable

    tables, conflicts = dict(sides.ours.tables), dict(sides.ours.conflicts)
    counts: dict[str, Counts] = {}
    waiting: list[str] = []
    unmerged: list[SchemaConflict] = []
    preferred = False
    for name in by_table(sorted(sides.theirs.tables), "merging", progress):
        if not terms.takes(name) or terms.hints(name).gone:
            continue
        if name not in sides.ours.tables:
            _adopt(sides, terms, name, tables, conflicts, counts, waiting)
            continue
        merged = _merge_one(store, engine, sides, terms, name)
        if merged is None:
            continue
        if not isinstance(merged, MergedTable):
            unmerged.append(merged)
            continue
        preferred = preferred or merged.preferred
        if not merged.differs:
            continue
        tables[name], counts[name] = merged.state, Counts(merged.taken, merged.merged, merged.disputed)
        if terms.trace is not None and merged.disputed:
            terms.trace(name, merged.disputes)
        identity = write_disputes(store, merged.disputes)
        conflicts.pop(name, None)
        if identity is not None:
            conflicts[name] = identity
    tree = without_ended(replace(sides.ours, tables=tables, conflicts=conflicts), [terms.hints])
    return Merged(tree, counts, tuple(waiting), preferred, tuple(unmerged))


def without_ended(tree: Tree, hints: Iterable[HintsOf]) -> Tree:
    """A state without the tables whose end is confirmed."""
    ended = {name for said in hints for name in tree.tables if said(name).gone}
    if not ended:
        return tree
    tables = {name: state for name, state in tree.tables.items() if name not in ended}
    conflicts = {name: identity for name, identity in tree.conflicts.items() if name not in ended}
    return replace(tree, tables=tables, conflicts=conflicts, dropped=tuple(sorted({*tree.dropped, *ended})))


def _adopt(
    sides: Sides,
    terms: MergeTerms,
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
    if not terms.adopt_new:
        waiting.append(name)
        return
    state = sides.theirs.tables[name]
    tables[name] = replace_changes(state, Changes(state.rows, 0, 0))
    counts[name] = Counts(taken=state.rows)
    if name in sides.theirs.conflicts:
        conflicts[name] = sides.theirs.conflicts[name]


def _merge_one(
    store: ObjectStore, engine: Engine, sides: Sides, terms: MergeTerms, name: str
) -> MergedTable | SchemaConflict | None:
    """One table that both sides have, or None where ours stays as it is."""
    from prontosync.history.sides import Unified, need_one_schema, unified

    policies = terms.policies(_stored(store, engine, sides.ours, name))
    one_schema = sides.ours.tables[name].schema == sides.theirs.tables[name].schema
    judged = policies.judges and not sides.our_writer.trusted
    if _identical(sides.base, sides.theirs, name) and one_schema and not judged:
        return None
    if _identical(sides.ours, sides.theirs, name) and not policies.changes_equals:
        return None
    base_state = sides.base.tables.get(name)
    ours = _side(store, engine, sides.ours, name, sides.our_origin, sides.our_writer)
    theirs = _side(store, engine, sides.theirs, name, sides.their_origin, sides.their_writer)
    base = _side(store, engine, sides.base, name, UNKNOWN, NOBODY) if base_state is not None else None
    hints = terms.hints(name)
    if not need_one_schema([side for side in (ours, theirs, base) if side], hints):
        return _merge_sides(engine, Unified(base, ours, theirs), terms, name)
    one = unified(store, base, ours, theirs, hints, rekey=terms.follows)
    if not isinstance(one, Unified):
        return one
    merged = _merge_sides(engine, one, terms, name) or _unchanged(one.ours)
    if terms.follows and _defines_more(theirs, ours, one.ours):
        merged = replace(merged, state=with_ddl(merged.state, theirs.table.state))
    return merged if _differs(ours, merged) else None


def _defines_more(theirs: TableSide, ours: TableSide, merged: TableSide) -> bool:
    """Whether theirs' definition is nearer to the merged table than ours."""
    if merged.table.schema.key != ours.table.schema.key:
        return True
    here, there = (set(merged.table.schema.names) & set(side.table.ddl.declared) for side in (ours, theirs))
    return there > here


def _merge_sides(engine: Engine, sides: Unified, terms: MergeTerms, name: str) -> MergedTable | None:
    """Three sides of one schema. Policies are looked up anew: columns may stand elsewhere than ours have them."""
    from prontosync.history.merge_table import Terms, merge_table

    base, ours, theirs = sides.base, sides.ours, sides.theirs
    policies = terms.policies(ours.table)
    mine, other = (policies.judges and not side.writer.trusted for side in (ours, theirs))
    if base is not None and _same(base, theirs) and not mine:
        return None
    if base is not None and _same(base, ours) and not other:
        return _taken_whole(ours, theirs)
    return merge_table(engine, base, ours, theirs, Terms(policies, terms.prefer, terms.explain, name))


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


def _side(store: ObjectStore, engine: Engine, tree: Tree, name: str, origin: Origin, writer: Writer) -> TableSide:
    from prontosync.history.merge_table import TableSide

    table = _stored(store, engine, tree, name)
    return TableSide(table, read_disputes(table, tree.conflicts.get(name)), origin, writer)


def _stored(store: ObjectStore, engine: Engine, tree: Tree, name: str) -> StoredTable:
    from prontosync.tables.reader import StoredTable

    return StoredTable(store, engine, name, tree.tables[name])


def _identical(a: Tree, b: Tree, name: str) -> bool:
    """Whether a table is stored alike on both sides, its conflicts too."""
    mine, other = a.tables.get(name), b.tables.get(name)
    if mine is None or other is None or a.conflicts.get(name) != b.conflicts.get(name):
        return False
    return (mine.schema, mine.checkpoint, mine.patches) == (other.schema, other.checkpoint, other.patches)


def _same(a: TableSide, b: TableSide) -> bool:
    from prontosync.tables.compare import same_rows

    return same_rows(a.table, b.table) and a.disputes.same_as(b.disputes.in_columns(a.table.schema))
