"""Following renumberings: a state that does not know of a merge in which rows got other keys is brought to them before
it takes part in another merge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from prontosync.disk.objects import ObjectStore
from prontosync.engine.connection import Engine
from prontosync.history.ancestry import Ancestry
from prontosync.history.commits import Tree
from prontosync.history.lineage import Lineage, Merging, Version
from prontosync.history.renumber import Shift, renumbered
from prontosync.model.ids import ObjectId
from prontosync.model.renumbering import Move

Wanted = Callable[[str], bool]


@dataclass(frozen=True)
class Followed:
    """A state under the keys of all that the others know, and the shifts that it took, each with the branch
    whose row it was."""

    tree: Tree
    shifts: tuple[tuple[Shift, str], ...] = ()


class Following:
    """``store`` takes the states' objects: some of them may stay in a merge commit. ``cache`` takes those of states
    that are only looked at; it reads all."""

    def __init__(self, ancestry: Ancestry, store: ObjectStore, cache: ObjectStore, engine: Engine) -> None:
        self._ancestry, self._store, self._cache, self._engine = ancestry, store, cache, engine
        self._lineage = Lineage(ancestry, cache, engine, self._state)
        self._states: dict[tuple[ObjectId, tuple[ObjectId, ...]], Version] = {}

    def lacking(self, tips: Sequence[ObjectId], others: Iterable[ObjectId]) -> tuple[ObjectId, ...]:
        """The merges in which rows got other keys that others know of and a version of these tips does not, oldest
        first."""
        if not tips:
            return ()
        commits = self._ancestry.commits
        lacking = self._ancestry.only_in(others, tips)
        return tuple(commit for commit in lacking if commits.read(commit).renumbered is not None)

    def follow(self, version: Version, others: Iterable[ObjectId], wanted: Wanted = lambda name: True) -> Followed:
        """A version that follows what ``others`` know. ``wanted``: the tables that matter in it."""
        shifts: list[tuple[Shift, str]] = []
        for commit in self.lacking(version.tips, others):
            version, more = self._past(version, commit, self._store, wanted)
            shifts += more
        return Followed(version.tree, tuple(shifts))

    def moved(
        self, version: Version, merging: Merging, moves: Sequence[Move], wanted: Wanted = lambda name: True
    ) -> Followed:
        """A version with the moves of one merge."""
        return self._moved(version, merging, moves, self._store, wanted)

    def _past(
        self, version: Version, commit: ObjectId, store: ObjectStore, wanted: Wanted = lambda name: True
    ) -> tuple[Version, tuple[tuple[Shift, str], ...]]:
        """A version that knows of one merge more."""
        known = self._ancestry.commits.renumbering(commit)
        main, other = self._ancestry.commits.read(commit).parents
        merging = Merging(main.commit, other.commit, main.branch, other.branch)
        found = self._moved(version, merging, known.moves if known else (), store, wanted)
        followed = (*version.followed, commit) if found.shifts else version.followed
        return Version(found.tree, version.tips, followed), found.shifts

    def _moved(
        self, version: Version, merging: Merging, moves: Sequence[Move], store: ObjectStore, wanted: Wanted
    ) -> Followed:
        done: list[tuple[Shift, str]] = []
        tree = version.tree
        for parent in (0, 1):
            mine = [move for move in moves if move.parent == parent]
            if not mine:
                continue
            now = Version(tree, version.tips, version.followed)
            shifts, sharing = self._lineage.shifts(now, merging, mine, parent)
            if shifts:
                tree = renumbered(store, self._engine, tree, shifts, sharing, wanted)
                done += [(shift, merging.whose(parent)) for shift in shifts]
        return Followed(tree, tuple(done))

    def _state(self, commit: ObjectId, followed: tuple[ObjectId, ...]) -> Tree:
        """A commit's state that follows these merges."""
        return self._version(commit, followed).tree

    def _version(self, commit: ObjectId, followed: tuple[ObjectId, ...]) -> Version:
        if not followed:
            return Version(self._ancestry.commits.tree(commit), [commit])
        if (commit, followed) not in self._states:
            before = self._version(commit, followed[:-1])
            self._states[commit, followed], _ = self._past(before, followed[-1], self._cache)
        return self._states[commit, followed]
