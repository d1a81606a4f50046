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
from prontosync.model.progress import SILENT, Progress


class Bases:
    """Finds bases. ``store`` takes the objects of virtual merges: an overlay whose upper layer is a cache."""

    def __init__(
        self, ancestry: Ancestry, store: ObjectStore, engine: Engine, rules: Rules, progress: Progress = SILENT
    ) -> None:
        self.ancestry, self.store, self.engine, self.rules = ancestry, store, engine, rules
        self._progress = progress
        self._known: dict[tuple[ObjectId, ...], Tree] = {}

    def base(self, ours: ObjectId, theirs: ObjectId) -> Tree:
        """The state to compare both with; empty where they have no ancestor in common. It lacks ``strangers``."""
        tips = self.ancestry.merge_bases([ours], theirs)
        tree = self._fold(tips)
        strange = self.strangers(ours, tips) | self.strangers(theirs, tips)
        return _without(tree, tree.tables.keys() & strange) if strange else tree

    def strangers(self, side: ObjectId, tips: Sequence[ObjectId]) -> set[str]:
        """Tables of common ancestors that a side neither had nor had dropped whenever it merged them: where one came
        later, what it lacks was never deleted. So too tables whose rows it left aside each time, because their schemas
        did not go together."""
        commits = self.ancestry.commits
        named = {name for tip in tips for name in commits.tree(tip).tables}
        line = self.ancestry.line_since(side, tips)
        aside = {name for commit in line for name in commits.unmerged(commit)}
        if not line or not (named := (named - _known(commits.tree(line[-1]))) | (named & aside)):
            return set()
        for commit in self.ancestry.joins(line, tips):
            named -= _known(commits.tree(commit)) - {*commits.unmerged(commit)}
        return named

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
                tree = merge_trees(self.store, self.engine, sides, self.rules, self._progress).tree
            self._known[known] = tree
        return self._known[known]


def _known(tree: Tree) -> set[str]:
    return {*tree.tables, *tree.dropped}


def _without(tree: Tree, names: Set[str]) -> Tree:
    tables = {name: state for name, state in tree.tables.items() if name not in names}
    conflicts = {name: identity for name, identity in tree.conflicts.items() if name not in names}
    return replace(tree, tables=tables, conflicts=conflicts)
