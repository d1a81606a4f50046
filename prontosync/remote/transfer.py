"""Moving commits between this repository and a remote: only what is missing, and nothing that is not whole.

A commit's object is stored after all that it needs; so a commit that is here is complete, and marks where a fetch may
stop.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prontosync.disk.objects import FolderObjectStore
from prontosync.history.ancestry import Ancestry
from prontosync.history.closure import (
    brings_segments,
    commit_name,
    commit_objects,
    direct_objects,
    segments_of,
    travelling,
    tree_names,
    tree_objects,
)
from prontosync.history.commits import Commits
from prontosync.model.ids import ObjectId, ObjectName
from prontosync.model.objects import Commit, decode_commit
from prontosync.model.progress import SILENT, Progress, counted
from prontosync.remote.contract import Remote, RemoteDamaged, Upload

GROUP_BYTES = 4 << 20
"""A push moves the ref whenever this much has been sent: so much a broken link can cost."""


@dataclass
class Moved:
    """How many objects and bytes of objects were moved."""

    objects: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        self.objects += 1
        self.bytes += size


class Fetch:
    """Brings commits of one branch, with all they need. ``own`` is the fetcher's own branch, whose commits are followed
    too where the remote has them; other parents are boundaries. ``label`` tells ``progress`` what is brought."""

    def __init__(
        self,
        remote: Remote,
        store: FolderObjectStore,
        branch: str,
        own: str,
        tmp: Path,
        progress: Progress = SILENT,
        label: str = "fetching",
    ) -> None:
        self._remote, self._store, self._branch, self._own, self._tmp = remote, store, branch, own, tmp
        self._progress, self._label = progress, label
        self._commits: dict[ObjectId, tuple[Commit, Path]] = {}
        self._absent: set[ObjectId] = set()
        self.moved = Moved()

    def bring(self, tips: Sequence[ObjectId]) -> list[ObjectId]:
        """Store these commits and all that is missing below them, and give the new ones, oldest first. Raises
        RemoteDamaged where the remote lacks or damaged something; then nothing points to what was stored."""
        try:
            self._bring_commits(tips)
            self._bring_objects()
            order = self._oldest_first(tips)
            for commit in order:
                self._store.adopt(commit_name(commit), self._commits[commit][1])
            self._store.sync(commit_name(commit) for commit in order)
            return order
        finally:
            for _, path in self._commits.values():
                path.unlink(missing_ok=True)

    def _bring_commits(self, tips: Sequence[ObjectId]) -> None:
        required, optional = set(self._missing(tips)), set[ObjectId]()
        while wanted := required | optional:
            found: set[ObjectId] = set()
            asked = [(commit_name(commit), None) for commit in sorted(wanted)]
            arriving = self._remote.fetch(asked, self._tmp)
            for name, path in counted(arriving, self._label, len(asked), "commits", self._progress):
                if path is None:
                    self._note_absent(name.id, name.id in required)
                    continue
                self._commits[name.id] = (decode_commit(path.read_bytes()), path)
                self.moved.add(path.stat().st_size)
                found.add(name.id)
            required, optional = self._parents(found)

    def _parents(self, commits: Iterable[ObjectId]) -> tuple[set[ObjectId], set[ObjectId]]:
        """The parents to bring next: those that must be there, and those that may."""
        required, optional = set[ObjectId](), set[ObjectId]()
        for commit in commits:
            content = self._commits[commit][0]
            required.update(parent.commit for parent in travelling(content, self._branch))
            optional.update(parent.commit for parent in content.parents if parent.branch == self._own)
        return set(self._missing(required)), set(self._missing(optional - required))

    def _missing(self, commits: Iterable[ObjectId]) -> list[ObjectId]:
        known = self._commits.keys() | self._absent
        return [c for c in commits if c not in known and not self._store.has(commit_name(c))]

    def _note_absent(self, commit: ObjectId, required: bool) -> None:
        if required:
            raise RemoteDamaged(f"the remote lacks commit {commit}", "check it: prontosync verify --remote NAME")
        self._absent.add(commit)

    def _bring_objects(self) -> None:
        direct = [name for commit, _ in self._commits.values() for name in direct_objects(commit)]
        self._bring((name, None) for name in direct)
        commits = Commits(self._store)
        segments: list[tuple[ObjectName, int | None]] = []
        seen: set[ObjectId] = set()
        for commit, _ in self._commits.values():
            for table, state in commit.tables.items():
                if state.checkpoint not in seen:
                    seen.add(state.checkpoint)
                    segments += segments_of(commits, table, state)
        self._bring(segments)

    def _bring(self, wanted: Iterable[tuple[ObjectName, int | None]]) -> None:
        fresh = {name: size for name, size in wanted if not self._store.has(name)}
        arrived = []
        with self._progress.task(self._label, _total(fresh.values()), "bytes", len(fresh)) as task:
            for name, path in self._remote.fetch(fresh.items(), self._tmp, task) if fresh else ():
                if path is None:
                    raise RemoteDamaged(
                        f"the remote lacks object {name.id}", "check it: prontosync verify --remote NAME"
                    )
                self.moved.add(path.stat().st_size)
                self._store.adopt(name, path)
                arrived.append(name)
            self._store.sync(arrived)

    def _oldest_first(self, tips: Sequence[ObjectId]) -> list[ObjectId]:
        """Parents before children, iteratively: histories are long."""
        order: list[ObjectId] = []
        done: set[ObjectId] = set()
        stack = [tip for tip in tips if tip in self._commits]
        while stack:
            commit = stack[-1]
            waiting = [
                p.commit for p in self._commits[commit][0].parents if p.commit in self._commits and p.commit not in done
            ]
            if commit in done or not waiting:
                stack.pop()
                if commit not in done:
                    done.add(commit)
                    order.append(commit)
            else:
                stack.extend(waiting)
        return order


def _total(sizes: Collection[int | None]) -> int | None:
    """All of them together, where they are known."""
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


@dataclass(frozen=True)
class Group:
    """Commits to publish together, the newest of which the ref moves to."""

    tip: ObjectId
    uploads: list[Upload]

    @property
    def bytes(self) -> int:
        return sum(upload.size for upload in self.uploads)


def outgoing(
    store: FolderObjectStore, commits: Commits, ancestry: Ancestry, branch: str, tip: ObjectId, there: ObjectId | None
) -> Iterator[Group]:
    """What the remote, whose ref is at ``there``, lacks of ``tip``: groups of objects, oldest commits first."""
    known = tree_names(commits, there) if there else set()
    unread = there
    uploads: list[Upload] = []
    size = 0
    new = _line(commits, ancestry, branch, tip, there)
    for number, commit in enumerate(new):
        if unread and brings_segments(commits, commit, known):
            # Most commits lay patches over what is there; then no checkpoint is read, which takes Arrow.
            known |= tree_objects(commits, unread)
            unread = None
        for name, _ in list(commit_objects(commits, commit, known)):
            upload = Upload(name, store.path(name), store.size(name))
            uploads.append(upload)
            size += upload.size
        if size >= GROUP_BYTES or number == len(new) - 1:
            yield Group(commit, uploads)
            uploads, size = [], 0


def _line(commits: Commits, ancestry: Ancestry, branch: str, tip: ObjectId, there: ObjectId | None) -> list[ObjectId]:
    """The commits of the branch that are not reachable from ``there``, oldest first."""
    fresh = set(ancestry.only_in([tip], [there] if there else []))
    found: set[ObjectId] = set()
    waiting = [tip]
    while waiting:
        commit = waiting.pop()
        if commit in fresh and commit not in found:
            found.add(commit)
            waiting.extend(parent.commit for parent in travelling(commits.read(commit), branch))
    return sorted(found, key=lambda c: (ancestry.depth(c), c))
