"""Many branches merged into one state: what merging them one after the other gives, in far fewer steps.

What becomes of a row depends on its own states in base, ours and theirs alone. So the changes of many branches are
merged at once, as those of one branch whose base has, for each changed row, what that branch's own base has. Rows that
several branches changed follow in further rounds, in the order of the branches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from prontosync.disk.objects import OverlayObjectStore
from prontosync.engine.connection import Engine
from prontosync.history.closure import state_objects
from prontosync.history.commits import Tree
from prontosync.history.disputes import Dispute, Disputes, Key, Origin, read_disputes, write_disputes
from prontosync.history.many_origins import SIDE, Steps, owners_of
from prontosync.history.merge import Counts, Merged, MergeTerms, Sides, merge_trees, replace_changes, without_ended
from prontosync.history.policies import NOBODY, Writer
from prontosync.model.hints import NO_HINTS
from prontosync.model.ids import ObjectId
from prontosync.model.objects import Changes, TableState
from prontosync.model.progress import SILENT, Progress, by_table
from prontosync.model.schema import differences

if TYPE_CHECKING:
    import pyarrow as pa

    from prontosync.history.schema_merge import SchemaConflict
    from prontosync.model.schema import TableSchema
    from prontosync.tables.compare import Delta
    from prontosync.tables.reader import StoredTable

MANY_ROWS = 65_536
"""So many changed rows, of several branches, are merged at once."""

Trace = Callable[[str, Disputes, ObjectId], None]
"""Finds, in the disputes of a table, where the candidates came from that are named by a commit."""


@dataclass(frozen=True)
class Incoming:
    """One of the branches: the base of its merge, its state, where that is from, what its merge goes by, and who made
    its side's changes and ours."""

    base: Tree
    theirs: Tree
    origin: Origin
    terms: MergeTerms
    our_writer: Writer = NOBODY
    their_writer: Writer = NOBODY


def merge_many(
    scratch: OverlayObjectStore,
    engine: Engine,
    ours: Tree,
    our_origin: Origin,
    incoming: Sequence[Incoming],
    trace: Trace,
    progress: Progress = SILENT,
) -> Merged:
    """Merge several states into ``ours``, in their order. What lies between is written to ``scratch``, whose lower
    store takes the result. Raises what ``merge_trees`` raises."""
    tables, conflicts = dict(ours.tables), dict(ours.conflicts)
    counts: dict[str, Counts] = {}
    waiting: list[str] = []
    preferred = False
    unmerged: list[SchemaConflict] = []
    names = {name for one in incoming for name in one.theirs.tables if one.terms.takes(name)}
    for name in by_table(sorted(names), "merging", progress):
        fold = _Fold(scratch, engine, name, ours, our_origin, incoming)
        fold.run()
        preferred = preferred or fold.preferred
        waiting += [name] if fold.waits else []
        unmerged += fold.unmerged.values()
        if not fold.differs:
            continue
        tables[name], counts[name] = fold.settled(), fold.counts
        conflicts.pop(name, None)
        if (identity := fold.disputes(trace)) is not None:
            conflicts[name] = identity
    tree = without_ended(replace(ours, tables=tables, conflicts=conflicts), [one.terms.hints for one in incoming])
    return Merged(tree, counts, tuple(waiting), preferred, tuple(unmerged))


@dataclass(frozen=True)
class _Change:
    """What a branch changed in the table: rows, and the open conflicts in them, before and after."""

    number: int
    delta: Delta
    before: Disputes
    after: Disputes


class _Fold:
    """One table, into which the branches are merged."""

    def __init__(
        self,
        scratch: OverlayObjectStore,
        engine: Engine,
        name: str,
        ours: Tree,
        our_origin: Origin,
        incoming: Sequence[Incoming],
    ) -> None:
        self._scratch, self._engine, self._name = scratch, engine, name
        self._ours = self._now = _only(ours, name)
        self._incoming = incoming
        self._steps = Steps(our_origin, [one.origin for one in incoming])
        self._waiting: list[_Change] = []
        self._schemas: dict[ObjectId, TableSchema] = {}
        self._disputed: dict[ObjectId, pa.Table] = {}
        self.counts = Counts()
        self.waits = self.preferred = False
        self.unmerged: dict[str, SchemaConflict] = {}

    def run(self) -> None:
        numbers = [
            number
            for number, one in enumerate(self._incoming)
            if self._name in one.theirs.tables and one.terms.takes(self._name)
        ]
        prepared = self._prepared(numbers)
        known: dict[int, Delta | None] = {}
        for number in numbers:
            one = self._incoming[number]
            if not self._joinable(one):
                self._flush()
                self._alone(number)
            elif not _identical(one.base, one.theirs, self._name):
                while number not in known and (more := next(prepared, None)) is not None:
                    known |= more
                self._join(number, one, known.pop(number, None))
        self._flush()

    def _prepared(self, numbers: Sequence[int]) -> Iterator[dict[int, Delta | None]]:
        """The changes of those branches that can be looked up together, some at a time."""
        from prontosync.history.many_changes import changes_of

        joinable = [(n, self._incoming[n]) for n in numbers if self._joinable(self._incoming[n])]
        bases: dict[tuple[object, ...], StoredTable] = {}
        pairs = []
        for number, one in joinable:
            base = self._table(one.base)
            pairs.append((number, bases.setdefault(_stored(base.state), base), self._table(one.theirs)))
        if len(pairs) > 1:
            yield from changes_of(self._engine, self._schema, pairs, MANY_ROWS)

    @property
    def differs(self) -> bool:
        return self._now != self._ours

    @property
    def _schema(self) -> TableSchema:
        """The table's, as it is now: columns, types and key of it do not change here."""
        identity = self._now.tables[self._name].schema
        if identity not in self._schemas:
            self._schemas[identity] = self._table(self._now).schema
        return self._schemas[identity]

    def settled(self) -> TableState:
        """The merged state, kept for good, with its counts of changes against ours."""
        before, after = self._ours.tables.get(self._name), self._now.tables[self._name]
        if before is None or len(self._steps) == 1 or _stored(before) == _stored(after):
            self._keep(after)
            return replace_changes(after, Changes(after.rows, 0, 0)) if before is None else after
        from prontosync.tables.compare import deltas_between
        from prontosync.tables.reader import StoredTable
        from prontosync.tables.states import store_pieces

        mine = StoredTable(self._scratch.lower, self._engine, self._name, before)
        found = deltas_between(mine, self._table(self._now))
        return store_pieces(mine, ((_patch(delta, "n"), delta.counts) for delta in found))

    def disputes(self, trace: Trace) -> ObjectId | None:
        """The open conflicts, kept for good, each candidate named by where it came from."""
        table = self._table(self._now)
        found = read_disputes(table, self._now.conflicts.get(self._name))
        for commit in self._steps.name(self._name, found, self._scratch, self._engine):
            trace(self._name, found, commit)
        return write_disputes(self._scratch.lower, found)

    def _joinable(self, one: Incoming) -> bool:
        """Whether a branch can be merged together with others: the table is everywhere, with one schema, and no rule
        asks more of a side than its rows."""
        if self._name not in self._now.tables or self._name not in one.base.tables or one.terms.prefer is not None:
            return False
        policies = one.terms.policies(self._table(self._now))
        if policies.judges or policies.register or one.terms.hints(self._name) != NO_HINTS:
            return False
        now = self._now.tables[self._name]
        others = [tree for tree in (one.base, one.theirs) if tree.tables[self._name].schema != now.schema]
        return not any(differences(self._schema, self._table(tree).schema) for tree in others)

    def _join(self, number: int, one: Incoming, known: Delta | None) -> None:
        from prontosync.tables.compare import deltas_between

        base, theirs = self._table(one.base), self._table(one.theirs)
        schema = self._schema
        found = [known] if known is not None else list(islice(deltas_between(base, theirs), 2))
        before = after = Disputes(schema)
        if not self._same_and_untouched(one, base, found):
            before, after = self._disputes(base, one.base), self._disputes(theirs, one.theirs)
        if len(found) > 1 or before.differing(after):
            self._flush()
            self._alone(number)
        elif found and found[0].table.num_rows:
            self._waiting.append(_Change(number, found[0].in_columns(schema), before, after))
            if sum(change.delta.table.num_rows for change in self._waiting) > MANY_ROWS:
                self._flush()

    def _same_and_untouched(self, one: Incoming, base: StoredTable, changes: Sequence[Delta]) -> bool:
        """Whether the open conflicts are those of the base, and no changed row is among them: most branches leave alone
        what they took over from head office."""
        from prontosync.history.disputes import candidate_rows
        from prontosync.tables.keyset import among

        identity = one.base.conflicts.get(self._name)
        if identity != one.theirs.conflicts.get(self._name):
            return False
        if identity is None:
            return True
        if identity not in self._disputed:
            rows = candidate_rows(self._scratch, base.schema, identity)
            self._disputed[identity] = rows.select(base.schema.key)
        keys = self._disputed[identity]
        return not any(among(keys, change.keys(), self._schema.key).any() for change in changes)

    def _disputes(self, table: StoredTable, tree: Tree) -> Disputes:
        """The open conflicts at a state, in the columns that the table has now."""
        identity = tree.conflicts.get(self._name)
        return read_disputes(table, identity).in_columns(self._schema) if identity else Disputes(self._schema)

    def _flush(self) -> None:
        """Merge what was gathered: a round for each time that a row was changed again."""
        changes, self._waiting = self._waiting, []
        if len(changes) == 1:
            self._alone(changes[0].number)
        if len(changes) < 2:
            return
        import pyarrow as pa
        import pyarrow.compute as pc

        from prontosync.tables.compare import Delta
        from prontosync.tables.keyset import occurrences, sort_order

        schema = changes[0].delta.schema
        rows = pa.concat_tables([change.delta.table for change in changes])
        keys = Delta(schema, rows).keys()
        sides = pa.concat_arrays(
            [pa.repeat(pa.scalar(change.number), change.delta.table.num_rows) for change in changes]
        )
        times = occurrences(keys, schema.key)
        for time in range(pc.max(times).as_py() + 1):
            chosen = pc.indices_nonzero(pc.equal(times, time))
            chosen = chosen.take(sort_order(keys.take(chosen), schema.key))
            self._round(changes, Delta(schema, rows.take(chosen)), sides.take(chosen))

    def _round(self, changes: Sequence[_Change], delta: Delta, sides: pa.Array) -> None:
        """Merge changes of which no two are of one row, as those of one branch."""
        owners = delta.keys().append_column(SIDE, sides)
        before, after = Disputes(delta.schema), Disputes(delta.schema)
        for change in changes:
            for known, gathered in ((change.before, before), (change.after, after)):
                if known.rows:
                    gathered.rows.update(_of_side(known, owners, change.number))
        base = self._laid(_patch(delta, "o"), before)
        theirs = self._laid(_patch(delta, "n"), after)
        sides = Sides(base, self._now, theirs, *self._origins(owners))
        self._merge(sides, self._incoming[changes[0].number].terms)

    def _alone(self, number: int) -> None:
        one = self._incoming[number]
        base, theirs = _only(one.base, self._name), _only(one.theirs, self._name)
        origins = self._origins(number)
        self._merge(Sides(base, self._now, theirs, *origins, one.our_writer, one.their_writer), one.terms)

    def _origins(self, owners: pa.Table | int) -> tuple[Origin, Origin]:
        return self._steps.begin(self._now.tables.get(self._name), owners)

    def _merge(self, sides: Sides, terms: MergeTerms) -> None:
        limited = replace(terms, takes=lambda table: True, trace=None)
        merged = merge_trees(self._scratch, self._engine, sides, limited)
        self._now = merged.tree
        self.counts = added(self.counts, merged.counts.get(self._name, Counts()))
        self.waits = self.waits or bool(merged.waiting)
        self.preferred = self.preferred or merged.preferred
        self.unmerged |= {conflict.table: conflict for conflict in merged.unmerged}

    def _laid(self, patch: pa.Table, disputes: Disputes) -> Tree:
        """The table as it is now with a patch laid over it."""
        from prontosync.tables import parquet

        now = self._now.tables[self._name]
        listed = self._scratch.add(parquet.encode(patch, "patch"), "parquet").id
        state = TableState(now.schema, now.ddl, now.rows, None, now.checkpoint, (*now.patches, listed), now.changes)
        identity = write_disputes(self._scratch, disputes)
        return Tree({self._name: state}, {self._name: identity} if identity else {})

    def _table(self, tree: Tree) -> StoredTable:
        from prontosync.tables.reader import StoredTable

        return StoredTable(self._scratch, self._engine, self._name, tree.tables[self._name])

    def _keep(self, state: TableState) -> None:
        """Copy what a state needs out of the scratch store."""
        upper, lower = self._scratch.upper, self._scratch.lower
        table = self._table(self._now)
        for name in [*state_objects(state), *(segment.name for segment in table.segments)]:
            if upper.has(name):
                lower.add(upper.read(name), name.suffix)


def added(a: Counts, b: Counts) -> Counts:
    """What happened in a table in two merges, one after the other."""
    return Counts(a.taken + b.taken, a.merged + b.merged, a.disputed + b.disputed, a.held + b.held)


def _only(tree: Tree, name: str) -> Tree:
    """A state with one of its tables."""
    tables = {name: tree.tables[name]} if name in tree.tables else {}
    conflicts = {name: tree.conflicts[name]} if name in tree.conflicts else {}
    return replace(tree, tables=tables, conflicts=conflicts)


def _stored(state: TableState) -> tuple[object, ...]:
    return state.schema, state.checkpoint, state.patches


def _identical(a: Tree, b: Tree, name: str) -> bool:
    """Whether a table is stored alike in both states, its conflicts too."""
    return _stored(a.tables[name]) == _stored(b.tables[name]) and a.conflicts.get(name) == b.conflicts.get(name)


def _of_side(known: Disputes, owners: pa.Table, number: int) -> dict[Key, Dispute]:
    """Of the disputes of one branch, those in the rows that are its own."""
    return {key: known.rows[key] for key, side in owners_of(known.schema, owners, known.rows) if side == number}


def _patch(delta: Delta, side: str) -> pa.Table:
    """The old ("o") or the new ("n") rows of changes, as a patch; rows that are not there as deleted."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from prontosync.model.changes import CHANGE, DELETE, INSERT, UPSERT
    from prontosync.tables.patch import patch_schema

    arrow = patch_schema(delta.schema)
    absent = pc.equal(delta.table.column(CHANGE), INSERT if side == "o" else DELETE)
    keys = delta.keys()
    columns = [
        keys.column(name) if name in delta.schema.key else delta.table.column(f"{side}{i}")
        for i, name in enumerate(delta.schema.names)
    ]
    return pa.table([*columns, pc.if_else(absent, DELETE, UPSERT)], schema=arrow)
