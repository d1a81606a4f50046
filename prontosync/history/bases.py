"""The base of a merge: the newest common ancestor, or the virtual merge of several.

Without the virtual merge, crosswise merges diverge for good and sums are wrong (``docs/merging.md``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING

from prontosync.disk.objects import ObjectStore
from prontosync.engine.connection import Engine
from prontosync.history.ancestry import Ancestry
from prontosync.history.commits import EMPTY, Tree
from prontosync.history.disputes import UNKNOWN
from prontosync.history.merge import MergeTerms, Sides, merge_trees
from prontosync.history.policies import Writer
from prontosync.model.ids import ObjectId
from prontosync.model.progress import SILENT, Progress

if TYPE_CHECKING:
    from prontosync.history.following import Following

TipTerms = Callable[[Sequence[ObjectId]], tuple[MergeTerms, Writer, Writer]]


@dataclass(frozen=True)
class Joined:
    """A branch that is being merged before another one in the same merge: its commit, the depth that a merge commit of
    its own would have had, and the tables known after it."""

    commit: ObjectId
    depth: int
    known: frozenset[str]


class Bases:
    """Finds bases. ``store`` takes the objects of virtual merges: an overlay whose upper layer is a cache.

    ``terms`` gives what commits are merged by, and who wrote all but the last of them, and the last: a function of
    these alone, so that every place computes the same."""

    def __init__(
        self, ancestry: Ancestry, store: ObjectStore, engine: Engine, terms: TipTerms, progress: Progress = SILENT
    ) -> None:
        self.ancestry, self.store, self.engine, self.terms = ancestry, store, engine, terms
        self._progress = progress
        self._known: dict[tuple[ObjectId, ...], Tree] = {}

    @cached_property
    def _following(self) -> Following:
        from prontosync.history.following import Following

        return Following(self.ancestry, self.store, self.store, self.engine)

    def _followed(
        self,
        tree: Tree,
        tips: Sequence[ObjectId],
        others: Sequence[ObjectId],
        wanted: Callable[[str], bool] = lambda name: True,
    ) -> Tree:
        """A state of some commits under the keys that others know rows by."""
        commits = self.ancestry.commits
        if all(commits.read(one).renumbered is None for one in self.ancestry.only_in(others, tips)) or not tips:
            return tree
        from prontosync.history.lineage import Version

        return self._following.follow(Version(tree, tips), others, wanted).tree

    def base(self, ours: ObjectId, theirs: ObjectId, wanted: Callable[[str], bool] = lambda name: True) -> Tree:
        """The state to compare both with; empty where they have no ancestor in common. It lacks ``strangers``. Where
        one of both knows of rows with other keys, so does the base, in tables that are ``wanted``."""
        return self.base_at(self.ancestry.merge_bases([ours], theirs), ours, theirs, wanted=wanted)

    def base_at(
        self,
        tips: Sequence[ObjectId],
        ours: ObjectId,
        theirs: ObjectId,
        joined: Sequence[Joined] = (),
        wanted: Callable[[str], bool] = lambda name: True,
    ) -> Tree:
        """The same, of newest common ancestors that are known; ``joined`` are branches that ours already took in."""
        tree = self._followed(self._fold(tips), tips, [ours, theirs], wanted)
        strange = self.strangers(ours, tips, joined) | self.strangers(theirs, tips)
        return _without(tree, tree.tables.keys() & strange) if strange else tree

    def down_base(self, base: Tree, ours: ObjectId, theirs: ObjectId, branch: str, names: Set[str]) -> Tree:
        """``base`` with tables that only come down from ``branch`` as its version had them that our line merged last.

        A common ancestor would not do: head office merges our commits, and keeps its own rows of such tables, so an
        edit of ours would look like nothing, and be reverted; and one that came by way of a third branch would hold
        rows that we never took.
        """
        last = self._merged_last(ours, theirs, branch)
        if last is None or not names:
            return base
        tree = self.ancestry.commits.tree(last)
        tree = self._followed(tree, [last], [ours, theirs], lambda name: name in names)
        tables = {name: state for name, state in base.tables.items() if name not in names}
        conflicts = {name: identity for name, identity in base.conflicts.items() if name not in names}
        tables |= {name: state for name, state in tree.tables.items() if name in names}
        conflicts |= {name: identity for name, identity in tree.conflicts.items() if name in names}
        return replace(base, tables=tables, conflicts=conflicts)

    def _merged_last(self, ours: ObjectId, theirs: ObjectId, branch: str) -> ObjectId | None:
        """The version of a branch that a first-parent line holds: the one merged last, or the one that it began as."""
        commits, line = self.ancestry.commits, list[ObjectId]()
        for commit in self.ancestry.first_parents(ours):
            line.append(commit)
            merged = [p.commit for p in commits.read(commit).parents[1:] if p.branch == branch]
            if merged:
                return merged[-1] if commits.has(merged[-1]) else None
        return next((commit for commit in line if self.ancestry.is_ancestor(commit, theirs)), None)

    def strangers(self, side: ObjectId, tips: Sequence[ObjectId], joined: Sequence[Joined] = ()) -> set[str]:
        """Tables of common ancestors that a side neither had nor had dropped whenever it merged them: where one came
        later, what it lacks was never deleted. So too tables whose rows it left aside each time, because their schemas
        did not go together."""
        commits = self.ancestry.commits
        named = {name for tip in tips for name in commits.tree(tip).tables}
        if not named:
            return set()
        least = min(self.ancestry.depth(tip) for tip in tips)
        taken_in = list(takewhile(lambda one: one.depth >= least, reversed(joined)))
        line = self.ancestry.line_since(side, tips) if len(taken_in) == len(joined) else []
        if not line and not taken_in:
            return set()
        aside = {name for commit in line for name in commits.unmerged(commit)}
        named = (named - (_known(commits.tree(line[-1])) if line else taken_in[-1].known)) | (named & aside)
        for one in taken_in:
            if named & one.known and any(self.ancestry.is_ancestor(tip, one.commit) for tip in tips):
                named -= one.known
        for commit in line:
            known = _known(commits.tree(commit)) - {*commits.unmerged(commit)}
            if named & known and self.ancestry.joins([commit], tips):
                named -= known
        return named

    def _fold(self, tips: Sequence[ObjectId]) -> Tree:
        """The virtual merge of several commits, in the order of their ids, so that every place computes the same."""
        if not tips:
            return EMPTY
        known = tuple(tips)
        if known not in self._known:
            tree = self.ancestry.commits.tree(tips[0])
            for number, tip in enumerate(tips[1:], 1):
                common = self.ancestry.merge_bases(tips[:number], tip)
                terms, *writers = self.terms(tips[: number + 1])
                versions = (
                    (self._fold(common), common, tips[: number + 1]),
                    (tree, tips[:number], [tip]),
                    (self.ancestry.commits.tree(tip), [tip], tips[:number]),
                )
                base, ours, theirs = (self._followed(*version) for version in versions)
                sides = Sides(base, ours, theirs, UNKNOWN, UNKNOWN, *writers)
                tree = merge_trees(self.store, self.engine, sides, terms, self._progress).tree
            self._known[known] = tree
        return self._known[known]


def _known(tree: Tree) -> frozenset[str]:
    return frozenset((*tree.tables, *tree.dropped))


def _without(tree: Tree, names: Set[str]) -> Tree:
    tables = {name: state for name, state in tree.tables.items() if name not in names}
    conflicts = {name: identity for name, identity in tree.conflicts.items() if name not in names}
    return replace(tree, tables=tables, conflicts=conflicts)
