"""The base of a merge: the newest common ancestor, or the virtual merge of several.

Without the virtual merge, crosswise merges diverge for good and sums are wrong (``docs/merging.md``).
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

from prontosync.disk.objects import ObjectStore
from prontosync.engine.connection import Engine
from prontosync.history.ancestry import Ancestry
from prontosync.history.commits import EMPTY, Tree
from prontosync.history.disputes import UNKNOWN
from prontosync.history.merge import Rules, Sides, merge_trees
from prontosync.model.ids import ObjectId


class Bases:
    """Finds bases. ``store`` takes the objects of virtual merges: an overlay whose upper layer is a cache."""

    def __init__(self, ancestry: Ancestry, store: ObjectStore, engine: Engine, rules: Rules) -> None:
        self.ancestry, self.store, self.engine, self.rules = ancestry, store, engine, rules
        self._known: dict[tuple[ObjectId, ...], Tree] = {}

    def base(self, ours: ObjectId, theirs: ObjectId) -> Tree:
        """The state to compare both with; empty where they have no ancestor in common. It lacks the tables that either
        side took no part in since: one that was absent there and came later is no deletion of all other rows."""
        tips = self.ancestry.merge_bases([ours], theirs)
        tree = self._fold(tips)
        strange = self._strangers(ours, tips) | self._strangers(theirs, tips)
        return _without(tree, tree.tables.keys() & strange) if strange else tree

    def _strangers(self, side: ObjectId, tips: Sequence[ObjectId]) -> set[str]:
        """Tables of the tips that a side neither had nor had dropped when it first merged them."""
        first = self.ancestry.first_with(side, tips)
        if first is None:
            return set()
        commits = self.ancestry.commits
        here = commits.tree(first)
        return {name for tip in tips for name in commits.tree(tip).tables} - here.tables.keys() - set(here.dropped)

    def _fold(self, tips: Sequence[ObjectId]) -> Tree:
        """The virtual merge of several commits, in the order of their ids, so that every place computes the same."""
        if not tips:
            return EMPTY
        known = tuple(tips)
        if known not in self._known:
            tree = self.ancestry.commits.tree(tips[0])
            for number, tip in enumerate(tips[1:], 1):
                base = self._fold(self.ancestry.merge_bases(tips[:number], tip))
                sides = Sides(base, tree, self.ancestry.commits.tree(tip), UNKNOWN, UNKNOWN)
                tree = merge_trees(self.store, self.engine, sides, self.rules).tree
            self._known[known] = tree
        return self._known[known]


def _without(tree: Tree, names: Set[str]) -> Tree:
    tables = {name: state for name, state in tree.tables.items() if name not in names}
    conflicts = {name: identity for name, identity in tree.conflicts.items() if name not in names}
    return replace(tree, tables=tables, conflicts=conflicts)
