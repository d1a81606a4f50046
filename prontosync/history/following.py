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


@dataclass(frozen=True)
class Followed:
    """A state under the keys of all that the others know, and the shifts that it took, each with the branch
    whose row it was."""

    tree: Tree
    shifts: tuple[tuple[Shift, str], ...] = ()


class Following:
    """``store`` takes the states' objects: some of them may stay in a merge commit."""

    def __init__(self, ancestry: Ancestry, store: ObjectStore, engine: Engine) -> None:
        self._ancestry, self._store, self._engine = ancestry, store, engine
        self._lineage = Lineage(ancestry, store, engine)

    def lacking(self, version: Version, others: Iterable[ObjectId]) -> list[ObjectId]:
        """The merges in which rows got other keys that others know of and a version does not, oldest first."""
        if not version.tips:
            return []
        commits = self._ancestry.commits
        lacking = self._ancestry.only_in(others, version.tips)
        return [commit for commit in lacking if commits.read(commit).renumbered is not None]

    def follow(
        self, version: Version, others: Iterable[ObjectId], wanted: Callable[[str], bool] = lambda name: True
    ) -> Followed:
        """A version that follows what ``others`` know. ``wanted``: the tables that matter in it."""
        shifts: list[tuple[Shift, str]] = []
        for commit in self.lacking(version, others):
            known = self._ancestry.commits.renumbering(commit)
            main, other = self._ancestry.commits.read(commit).parents
            merging = Merging(main.commit, other.commit, main.branch, other.branch)
            followed = self.moved(version, merging, known.moves if known else (), wanted)
            version = Version(followed.tree, version.tips)
            shifts += followed.shifts
        return Followed(version.tree, tuple(shifts))

    def moved(
        self,
        version: Version,
        merging: Merging,
        moves: Sequence[Move],
        wanted: Callable[[str], bool] = lambda name: True,
    ) -> Followed:
        """A version with the moves of one merge."""
        done: list[tuple[Shift, str]] = []
        tree = version.tree
        for parent in (0, 1):
            mine = [move for move in moves if move.parent == parent]
            shifts, sharing = self._lineage.shifts(Version(tree, version.tips), merging, mine, parent)
            if shifts:
                tree = renumbered(self._store, self._engine, tree, shifts, sharing, wanted)
                done += [(shift, merging.whose(parent)) for shift in shifts]
        return Followed(tree, tuple(done))
