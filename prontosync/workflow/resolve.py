"""Resolve: decide open conflicts. A resolution is an ordinary commit, applied at once to a live database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from prontosync.errors import NotFound, Unfit, UsageError
from prontosync.history.commits import Tree
from prontosync.history.conflicts import HERE, Choice, Conflict, conflicts_of
from prontosync.history.disputes import Dispute, Disputes, Key, name_order, write_disputes
from prontosync.history.marks import KINDS
from prontosync.history.merge import Counts
from prontosync.history.row_patch import row_patch
from prontosync.history.sets import Cells, State, as_state, shown_row, state_of
from prontosync.model.ids import ObjectId
from prontosync.model.keys import key_to_text
from prontosync.model.objects import Parent, TableState
from prontosync.model.values import Row, Value, canonical
from prontosync.tables.reader import StoredTable
from prontosync.tables.states import store_changes
from prontosync.workflow import rules
from prontosync.workflow.integrate import Forecast, Next, Outcome, forecast, integrate
from prontosync.workflow.live import table_disputes
from prontosync.workflow.session import Session

_MIN_HEX = 8
_OTHERWISE = "write another row with --value, give it up with --take ours, or change first what is in its way"


class NoConflict(NotFound):
    id = "no-conflict"


class BadDecision(UsageError):
    """A decision that does not say which candidate; the hint lists them."""

    id = "bad-decision"


class StillBroken(Unfit):
    """A row as it was decided is one that a constraint does not allow."""

    id = "still-broken"


@dataclass(frozen=True)
class Decision:
    """What an open conflict is decided for: a value of its column, or a whole row, or None for "absent". Canonical.
    ``marked`` tells that the conflict is a mark on the row."""

    table: str
    key: Key
    column: str | None
    chosen: Value | Row | None
    marked: bool = False


Decider = Callable[[Sequence[Conflict]], Iterable[Decision]]
"""From all conflicts that are open after the snapshot to the decisions. Raises NoConflict or BadDecision."""


def resolve(
    session: Session, decider: Decider, message: str = "", author: str | None = None, allow_deletes: Sequence[str] = ()
) -> Outcome:
    """Decide open conflicts; the caller has the lock."""
    return integrate(session, "resolve", lambda head: _build(session, head, decider, message, author), allow_deletes)


def resolve_forecast(session: Session, decider: Decider) -> Forecast:
    """What ``resolve`` would do, from the head as it is."""
    return forecast(session, lambda head: _build(session, head, decider, "", None))


def taken(conflict: Conflict, wanted: str, own_branch: str) -> Value | Row | None:
    """The candidate that a branch, a commit id (≥ 8 hex), ``ours`` or ``theirs`` names. Raises BadDecision."""
    found = choices_named(conflict, wanted, own_branch)
    if len(found) == 1:
        return found[0].value
    problem = f'"{wanted}" names several candidates of' if found else f'"{wanted}" names no candidate of'
    raise BadDecision(f"{problem} {describe(conflict)}", f"take one of: {'; '.join(map(_named, conflict.choices))}")


def choices_named(conflict: Conflict, wanted: str, own_branch: str) -> list[Choice]:
    """The candidates that a branch, a commit id (≥ 8 hex), ``ours`` or ``theirs`` may mean."""
    branch = _side(conflict, wanted, own_branch)
    found = [choice for choice in conflict.choices if branch in choice.branches]
    if not found and len(wanted) >= _MIN_HEX:
        found = [c for c in conflict.choices if any(o.commit.startswith(wanted) for o in c.origins)]
    return found


def describe(conflict: Conflict) -> str:
    """A conflict for a message: table, key and column."""
    where = f'table "{conflict.table}", row ({key_to_text(conflict.key, conflict.schema)})'
    return where if conflict.column is None else f'{where}, column "{conflict.column}"'


def decision(conflict: Conflict, chosen: Value | Row | None) -> Decision:
    return Decision(conflict.table, conflict.key, conflict.column, chosen, conflict.kind in KINDS)


def _build(session: Session, head: ObjectId, decider: Decider, message: str, author: str | None) -> Next:
    tree = session.commits.tree(head)
    disputes = {name: table_disputes(session, tree, name) for name in sorted(tree.conflicts)}
    decisions = list(decider([c for name, found in disputes.items() for c in conflicts_of(name, found)]))
    if not decisions:
        return Next(None)
    tables, conflicts = dict(tree.tables), dict(tree.conflicts)
    counts = {}
    for name in sorted({decision.table for decision in decisions}):
        mine = [decision for decision in decisions if decision.table == name]
        tables[name] = _decide_table(session, tree, disputes[name], name, mine)
        conflicts.pop(name)
        if (identity := write_disputes(session.merge_store, disputes[name])) is not None:
            conflicts[name] = identity
        counts[name] = Counts(merged=len(mine))
    words = message or f"resolve {len(decisions)} conflict{'s' if len(decisions) > 1 else ''}"
    resolved = _accepted(session, tree, Tree(tables, conflicts, tree.dropped, tree.database), decisions)
    policy = rules.named(session, rules.in_force(session, head), head)
    parents = (Parent(head, session.repo.branch),)
    commit = session.commits.add(resolved, parents, session.stamp(author), words, policy=policy)
    return Next(commit, counts=counts)


def _accepted(session: Session, before: Tree, after: Tree, decisions: Sequence[Decision]) -> Tree:
    """The decided state, with rows shown that are held for no reason any more. Raises StillBroken where a decided row
    breaks a constraint."""
    from prontosync.workflow.holding import hold_back

    found = hold_back(session, before, after).tree
    for name in sorted({one.table for one in decisions} & found.conflicts.keys()):
        disputes = table_disputes(session, found, name)
        for one in decisions:
            dispute = disputes.rows.get(one.key) if one.table == name else None
            if dispute is not None and dispute.mark is not None and dispute.held:
                where = f'table "{name}", row ({key_to_text(one.key, disputes.schema)})'
                raise StillBroken(f"{where} would break a constraint: {dispute.mark.detail}", _OTHERWISE)
    return found


def _decide_table(
    session: Session, tree: Tree, disputes: Disputes, name: str, decisions: Sequence[Decision]
) -> TableState:
    """The table with its decisions; ``disputes`` loses what was decided."""
    schema = disputes.schema
    order = sorted(range(len(schema.names)), key=lambda i: schema.names[i])
    before = {d.key: disputes.rows[d.key].shows(order) for d in decisions}
    for one in decisions:
        _decide(disputes, one)
    after = {key: disputes.rows[key].shows(order) for key in before}
    for key in before:
        if not disputes.rows[key].open:
            del disputes.rows[key]
    upserts = [row for key, row in after.items() if row is not None and row != before[key]]
    deletes = [row for key, row in before.items() if row is not None and after[key] is None]
    from prontosync.tables.keyset import in_order

    table = StoredTable(session.merge_store, session.engine, name, tree.tables[name])
    return store_changes(table, in_order(row_patch(schema, upserts, deletes), schema.key))


def _decide(disputes: Disputes, one: Decision) -> None:
    dispute = disputes.rows[one.key]
    if one.marked:
        kept = one.chosen == shown_row(dispute.state, name_order(disputes.schema))
        state = dispute.state if kept else state_of(one.chosen)
        disputes.rows[one.key] = Dispute(state, dispute.origins)
    else:
        state = _decided(disputes, dispute.state, one)
        disputes.rows[one.key] = replace(dispute, state=state)


def _decided(disputes: Disputes, state: State, one: Decision) -> State:
    if one.column is None:
        return as_state(frozenset([one.chosen]))
    if not isinstance(state, Cells):
        raise NoConflict(f'table "{one.table}": the whole row is in dispute, not its column "{one.column}"')
    index = disputes.schema.names.index(one.column)
    cells = list(state.cells)
    cells[index] = frozenset([canonical(one.chosen)])
    return Cells(tuple(cells))


def _side(conflict: Conflict, wanted: str, own_branch: str) -> str:
    """``ours`` is this repository's branch; ``theirs`` the only other one among the candidates."""
    if wanted == HERE:
        return HERE if any(HERE in choice.branches for choice in conflict.choices) else own_branch
    others = {branch for choice in conflict.choices for branch in choice.branches} - {own_branch}
    return next(iter(others)) if wanted == "theirs" and len(others) == 1 else wanted


def _named(choice: Choice) -> str:
    return " or ".join(f"{o.branch} ({o.commit[:12]})" if o.commit else o.branch for o in choice.origins)
