"""Fetch and push: the refs of remotes, and what they need, to here and back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from prontosync.disk.config import RemoteConfig, located
from prontosync.disk.refs import RefState
from prontosync.errors import Damaged, Moved, NotFound
from prontosync.model.ids import ObjectId, object_id
from prontosync.model.names import TAG_PREFIX, RefName
from prontosync.model.objects import decode_record
from prontosync.remote.connection import ConnectionOptions
from prontosync.remote.contract import Remembered, Remote, Upload
from prontosync.remote.locate import locate
from prontosync.remote.transfer import Fetch, outgoing
from prontosync.workflow.session import Session

DEFAULT_UPSTREAM = RefName("main")


class UnknownRemote(NotFound):
    id = "unknown-remote"


class NotForward(Moved):
    """The remote's branch has commits that ours lacks."""

    id = "not-forward"


class AnotherHub(Damaged):
    """The address of a remote leads to a hub with another id than the one that was seen there."""

    id = "another-hub"


@dataclass(frozen=True)
class RefMove:
    old: ObjectId | None
    new: ObjectId | None


@dataclass
class Transfer:
    """What a fetch or push did with one remote: refs that moved, objects and their bytes, seconds; and the link's
    totals."""

    remote: str
    refs: dict[str, RefMove] = field(default_factory=dict)
    objects: int = 0
    bytes: int = 0
    seconds: float = 0.0
    round_trips: int = 0
    wire_bytes: int = 0


class Link:
    """An open remote, and what is known of its refs."""

    def __init__(self, session: Session, config: RemoteConfig, remote: Remote) -> None:
        self.session, self.config, self.remote = session, config, remote
        self.name = config.name

    def remembered(self, ref: RefName) -> Remembered | None:
        """The newest record of a ref that was seen."""
        data = self.session.repo.remembered.read(self.name, ref)
        return Remembered(RefState(decode_record(data), object_id(data)), data) if data else None

    def remember(self, ref: RefName, data: bytes) -> None:
        self.session.repo.remembered.write(self.name, ref, data)

    def news(self, refs: Sequence[RefName]) -> dict[RefName, list[tuple[RefState, bytes]]]:
        """The new records of refs (``Remote.read_refs``). Raises AnotherHub where the address leads elsewhere now."""
        known = {ref: self.remembered(ref) for ref in refs}
        try:
            with self.session.progress.task(f'asking "{self.name}" what is new', None, "refs"):
                return self.remote.read_refs(known)
        except Damaged:
            before = next((seen.state.record.hub for seen in known.values() if seen), None)
            if before is None or self.remote.hub_id() == before:
                raise
            raise AnotherHub(
                f'remote "{self.name}" is another hub than before: {self.config.url}',
                "check its address: prontosync remote list; if another hub is meant, add it under another name",
            ) from None

    def tracking(self, ref: RefName) -> RefName:
        """The ref here that says where the remote's was last seen."""
        return RefName(f"{self.name}/{ref}")


def known_remote(session: Session, name: str) -> RemoteConfig:
    """A remote's configuration. Raises UnknownRemote."""
    config = session.repo.config.remotes.get(name)
    if config is None:
        raise UnknownRemote(f'there is no remote "{name}"', "see: prontosync remote list")
    return config


@contextmanager
def linked(session: Session, name: str) -> Iterator[Link]:
    """Open a configured remote. Raises UnknownRemote, and what connecting raises (12, 13)."""
    config = known_remote(session, name)
    with ExitStack() as stack:
        yield Link(session, config, stack.enter_context(open_remote(session, config)))


def open_remote(session: Session, config: RemoteConfig) -> Remote:
    """The remote, not connected yet."""
    return locate(config.url, connection_options(session, config), session.repo.top)


def connection_options(session: Session, config: RemoteConfig) -> ConnectionOptions:
    top, world = session.repo.top, session.world
    from pathlib import Path

    return ConnectionOptions(
        store=session.store_name,
        user=world.user,
        home=world.home,
        identity=Path(located(config.identity, top)) if config.identity else None,
        known_hosts=Path(located(config.known_hosts, top)) if config.known_hosts else None,
        fingerprint=config.fingerprint,
    )


def remotes_for_fetch(session: Session, names: Sequence[str]) -> list[str]:
    """The remotes named, or all."""
    return list(names) or sorted(session.repo.config.remotes)


def remotes_for_push(session: Session, names: Sequence[str]) -> list[str]:
    """The remotes named, or all that are not ``push = false``."""
    return list(names) or sorted(n for n, remote in session.repo.config.remotes.items() if remote.push)


def fetch(link: Link, branches: Sequence[RefName] = ()) -> Transfer:
    """Bring what is new of the remote's refs; each ref here moves when everything it needs is here and verified."""
    session, started = link.session, time.monotonic()
    session.guard_space()
    result = Transfer(link.name)
    wanted = _wanted(link, branches)
    news = link.news(wanted)
    failed: Damaged | None = None
    for ref, records in sorted(news.items()):
        try:
            _take(link, ref, records, result)
        except Damaged as error:  # one store's damaged branch does not keep head office from the others'
            failed = failed or error
    if result.refs:
        session.journal("fetch", remote=link.name, refs=sorted(result.refs))
    if failed is not None:
        raise failed
    return _timed(result, link, started)


def push(link: Link, branches: Sequence[RefName] = ()) -> Transfer:
    """Send what the remote lacks of these branches (the current one by default); its refs are read first.

    Raises NotForward (15) where the remote has commits that ours lacks.
    """
    session, started = link.session, time.monotonic()
    result = Transfer(link.name)
    wanted = list(branches) or [session.repo.branch]
    news = link.news(wanted)
    for ref, records in sorted(news.items()):
        _take(link, ref, records, result)
    result.refs.clear()
    for ref in wanted:
        _push_ref(link, ref, result)
    if result.refs:
        session.journal("push", remote=link.name, refs=sorted(result.refs), bytes=result.bytes)
    return _timed(result, link, started)


def _wanted(link: Link, branches: Sequence[RefName]) -> list[RefName]:
    """Which refs to look at: head office (on ``main``) all, a store its own branch, what it follows and merges,
    and what it fetched before."""
    session = link.session
    if branches:
        return list(branches)
    store = session.repo.config.store
    if store is None or session.repo.config.source is None or session.repo.branch == DEFAULT_UPSTREAM:
        with session.progress.task(f'asking "{link.name}" what it holds', None, "refs"):
            return link.remote.list_refs()
    wanted = {session.repo.branch, DEFAULT_UPSTREAM, *session.repo.remembered.refs(link.name)}
    if store.upstream and store.upstream.partition("/")[0] == link.name:
        wanted.add(RefName(store.upstream.partition("/")[2]))
    if patterns := session.repo.config.merge.branches:
        with session.progress.task(f'asking "{link.name}" what it holds', None, "refs"):
            there = link.remote.list_refs()
        wanted |= {ref for ref in there if any(fnmatchcase(link.tracking(ref), pattern) for pattern in patterns)}
    return sorted(wanted)


def _take(link: Link, ref: RefName, records: list[tuple[RefState, bytes]], result: Transfer) -> None:
    """Bring what a ref's new records point to, then move the ref here, then remember the newest record."""
    session = link.session
    if not records:
        return
    targets = [state.target for state, _ in records if state.target]
    label = f'fetching "{ref}" from "{link.name}"'
    own, tmp = session.repo.branch, session.repo.tmp
    brought = Fetch(link.remote, session.repo.objects, ref, own, tmp, session.progress, label)
    newest = records[-1][0].target
    tips = list(dict.fromkeys(reversed(targets)))
    fresh = brought.bring(tips)
    session.ancestry.arrived(fresh)
    tracking = ref if ref.startswith(TAG_PREFIX) else link.tracking(ref)
    before = session.repo.refs.target(tracking)
    if before != newest and not (ref.startswith(TAG_PREFIX) and before):
        session.advance(tracking, newest)
        result.refs[tracking] = RefMove(before, newest)
    link.remember(ref, records[-1][1])
    result.objects += brought.moved.objects
    result.bytes += brought.moved.bytes


def _push_ref(link: Link, ref: RefName, result: Transfer) -> None:
    session = link.session
    tip = session.repo.refs.target(ref)
    known = link.remembered(ref)
    there = known.state.target if known else None
    if tip is None:
        return
    if tip == there:
        _track(link, ref, tip)
        return
    if there is not None and not session.ancestry.is_ancestor(there, tip):
        raise NotForward(
            f'branch "{ref}" of remote "{link.name}" has commits that are not here', "prontosync pull, then push again"
        )
    _send(link, ref, tip, known, result)
    result.refs[ref] = RefMove(there, tip)


def _send(link: Link, ref: RefName, tip: ObjectId, known: Remembered | None, result: Transfer) -> None:
    """Publish what the remote lacks, group by group, and move its ref after each."""
    session, records = link.session, link.session.repo.remembered
    there = known.state.target if known else None
    # Another branch may have brought all of it, or a push that was cut some: then asking is cheaper than sending again.
    asking = there is None or records.push_was_cut(link.name)
    records.push_began(link.name)
    state = known.state if known else None
    groups = list(outgoing(session.repo.objects, session.commits, session.ancestry, ref, tip, there))
    objects, size = sum(len(group.uploads) for group in groups), sum(group.bytes for group in groups)
    with session.progress.task(f'pushing "{ref}" to "{link.name}"', size, "bytes", objects) as task:
        for group in groups:
            uploads = _missing(link.remote, group.uploads) if asking else group.uploads
            sent = sum(upload.size for upload in uploads)
            task.advance(group.bytes - sent, len(group.uploads) - len(uploads))
            after = link.remote.advance(ref, state, group.tip, session.mover(), uploads, task)
            if after is None:
                raise NotForward(
                    f'branch "{ref}" of remote "{link.name}" moved meanwhile', "prontosync pull, then push again"
                )
            result.objects += len(uploads)
            result.bytes += sent
            state = after.state
            # A record that is remembered is not read again: what follows from it is noted first.
            _track(link, ref, group.tip)
            link.remember(ref, after.data)
    records.push_ended(link.name)


def _missing(remote: Remote, uploads: Sequence[Upload]) -> list[Upload]:
    absent = set(remote.missing([upload.name for upload in uploads]))
    return [upload for upload in uploads if upload.name in absent]


def _track(link: Link, ref: RefName, target: ObjectId) -> None:
    """Let the ref here that stands for the remote's be at ``target``."""
    tracking = link.tracking(ref)
    if not ref.startswith(TAG_PREFIX) and link.session.repo.refs.target(tracking) != target:
        link.session.advance(tracking, target)


def _timed(result: Transfer, link: Link, started: float) -> Transfer:
    result.seconds = time.monotonic() - started
    result.round_trips = link.remote.round_trips
    result.wire_bytes = link.remote.bytes_sent + link.remote.bytes_received
    return result
