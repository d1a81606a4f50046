"""What a merge goes by here: from the rules in force to the policies of each table, and who wrote a side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from prontosync.history.commits import Commits
from prontosync.history.policies import HEAD_OFFICE, NO_POLICIES, Policies, Writer, policies_of
from prontosync.model.hints import NO_HINTS, Hints, HintsOf
from prontosync.model.ids import ObjectId
from prontosync.model.rules import SUM, Rules, TableRules, effective, only_added
from prontosync.model.schema import TableSchema

if TYPE_CHECKING:
    from prontosync.tables.reader import StoredTable


def policies_by(rules: Rules) -> Callable[[StoredTable], Policies]:
    """The policies of a table by these rules."""
    return lambda table: table_policies(rules, table.name, lambda: table.schema)


def table_policies(rules: Rules, name: str, schema: Callable[[], TableSchema]) -> Policies:
    """The same of a table by its name; its schema is asked for where anything is said of it."""
    said = effective(rules, name)
    if said == TableRules():
        return NO_POLICIES
    return policies_of(schema(), rules, said, only_added(rules, name))


def hints_by(rules: Rules) -> HintsOf:
    """What these rules say of a table's schema."""

    def hints(table: str) -> Hints:
        said = effective(rules, table)
        if not said.renamed and not said.dropped and not said.gone:
            return NO_HINTS
        return Hints(said.renamed, frozenset(said.dropped), said.gone)

    return hints


def taking_back(rules: Rules) -> Callable[[StoredTable], Policies]:
    """The policies of a change that somebody takes back: sums alone. The other policies say who may write, or which of
    two edits stands, and taking back is neither."""
    sums = policies_by(rules)

    def policies(table: StoredTable) -> Policies:
        columns = tuple(policy if policy == SUM else None for policy in sums(table).columns)
        return Policies(columns=columns, preferred=(None,) * len(columns))

    return policies


def writer_of(commits: Commits, commit: ObjectId, rules: Rules) -> Writer:
    """Who made the changes that a commit stands for: its store, which is head office's or not."""
    tip = commits.read(commit)
    return Writer(tip.store, tip.store == (rules.store or HEAD_OFFICE), tip.time)


def writer_of_all(commits: Commits, tips: Sequence[ObjectId], rules: Rules) -> Writer:
    """The same for what several commits hold together: judged already, so that it counts as head office's; the newest
    time counts."""
    if len(tips) == 1:
        return writer_of(commits, tips[0], rules)
    return Writer(rules.store or HEAD_OFFICE, trusted=True, time=max(commits.read(tip).time for tip in tips))
