"""What some commits descend from, found once and as far down as is asked.

A merge of hundreds of branches asks the same of each: what is new in it, and where it meets ours.
"""

from __future__ import annotations

import heapq

from prontosync.history.ancestry import Ancestry, StaleDepths
from prontosync.model.ids import ObjectId


class Reach:
    """The commits reachable from ``tips``, to which more may be added."""

    def __init__(self, ancestry: Ancestry, tips: list[ObjectId]) -> None:
        self._ancestry, self._tips = ancestry, list(tips)
        self._begin()

    def add(self, tip: ObjectId) -> None:
        self._tips.append(tip)
        self._discover(tip)

    def beyond(self, tip: ObjectId) -> tuple[list[ObjectId], list[ObjectId]]:
        """The commits that only ``tip`` reaches, oldest first, and the newest common ancestors, by their ids."""
        try:
            return self._beyond(tip)
        except StaleDepths:
            self._ancestry.forget()
            self._begin()
            return self._beyond(tip)

    def _begin(self) -> None:
        self._held: set[ObjectId] = set()
        self._queue: list[tuple[int, ObjectId]] = []
        for tip in self._tips:
            self._discover(tip)

    def _discover(self, commit: ObjectId) -> None:
        if commit not in self._held:
            self._held.add(commit)
            heapq.heappush(self._queue, (-self._ancestry.depth(commit), commit))

    def _holds(self, commit: ObjectId, depth: int) -> bool:
        """Every descendant of a commit is deeper: those are looked at first."""
        while commit not in self._held and self._queue and -self._queue[0][0] > depth:
            least, current = heapq.heappop(self._queue)
            for parent in self._ancestry.parents(current):
                self._check(parent, -least)
                self._discover(parent)
        return commit in self._held

    def _beyond(self, tip: ObjectId) -> tuple[list[ObjectId], list[ObjectId]]:
        ancestry = self._ancestry
        only, shared = set[ObjectId](), set[ObjectId]()
        seen, queue = {tip}, [(-ancestry.depth(tip), tip)]
        while queue:
            least, commit = heapq.heappop(queue)
            if self._holds(commit, -least):
                shared.add(commit)
                continue
            only.add(commit)
            for parent in ancestry.parents(commit):
                self._check(parent, -least)
                if parent not in seen:
                    seen.add(parent)
                    heapq.heappush(queue, (-ancestry.depth(parent), parent))
        return sorted(only, key=lambda c: (ancestry.depth(c), c)), self._newest(shared)

    def _newest(self, commits: set[ObjectId]) -> list[ObjectId]:
        """Those that are no ancestor of another."""
        if len(commits) < 2:
            return sorted(commits)
        return sorted(c for c in commits if c not in self._ancestry.merge_bases(sorted(commits - {c}), c))

    def _check(self, parent: ObjectId, depth: int) -> None:
        if self._ancestry.depth(parent) >= depth:
            raise StaleDepths
