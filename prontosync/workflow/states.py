"""States as commands read them: a revision, or LIVE, the live database as a snapshot would record it now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prontosync.disk.files import translated
from prontosync.disk.objects import FolderObjectStore, OverlayObjectStore, ScratchObjectStore
from prontosync.errors import NotFound
from prontosync.history.commits import Tree
from prontosync.history.revisions import HEAD, LIVE
from prontosync.model.ids import ObjectId
from prontosync.model.names import RefName
from prontosync.model.objects import TableState
from prontosync.sources.contract import StateRow
from prontosync.workflow import seen
from prontosync.workflow.capture import Capture
from prontosync.workflow.live import LiveReader, LiveTree
from prontosync.workflow.session import Session

if TYPE_CHECKING:
    from prontosync.disk.notes import SourceNote
    from prontosync.tables.reader import StoredTable


class NoSuchTable(NotFound):
    id = "unknown-table"


@dataclass(frozen=True)
class State:
    """All tables at one moment, and where their objects are. ``commit`` is None for the live database."""

    name: str
    tree: Tree
    store: FolderObjectStore | OverlayObjectStore
    commit: ObjectId | None

    def table(self, session: Session, name: str) -> StoredTable:
        """Raises NoSuchTable."""
        from prontosync.tables.reader import StoredTable

        found: TableState | None = self.tree.tables.get(name)
        if found is None:
            raise NoSuchTable(f'there is no table "{name}" in {self.name}', f"see: prontosync ls-tables {self.name}")
        return StoredTable(self.store, session.engine, name, found)


@dataclass(frozen=True)
class LiveState:
    """The live database read once. ``base`` is the commit that it was compared with; ``row`` is what an apply noted."""

    state: State
    found: LiveTree
    base: ObjectId | None
    row: StateRow | None


def resolve(session: Session, rev: str) -> ObjectId:
    """The commit that a revision names. Raises UnknownRevision (17), BadRevision or AmbiguousRevision (2)."""
    return session.need_head() if rev == HEAD else session.revisions.resolve(rev)


@contextmanager
def states(session: Session, revs: Sequence[str]) -> Iterator[list[State]]:
    """The states that revisions name, in their order, for as long as the context lasts; LIVE is read once."""
    with ExitStack() as stack:
        commits = {rev: resolve(session, rev) for rev in revs if rev != LIVE}
        live = stack.enter_context(live_state(session)).state if LIVE in revs else None
        yield [live if live and rev == LIVE else _committed(session, rev, commits[rev]) for rev in revs]


@contextmanager
def live_state(session: Session) -> Iterator[LiveState]:
    """The live database as a state. Nothing is written but a scratch folder, which is removed at the end; the database
    is released before the context begins."""
    known = seen.unchanged(session, seen.look(session))
    if known is not None:
        yield _as_head(session, known)
        return
    source = session.need_source()
    with scratch_folder(session.repo.tmp) as folder:
        store = OverlayObjectStore(ScratchObjectStore(folder), session.repo.objects, sparing=True)
        with source.read() as live:
            base = live_base(session, live.state_row)
            found = LiveReader(session, store, base, Capture(session, base)).read(live)
            row = live.state_row
        yield LiveState(State(LIVE, found.tree, store, None), found, base, row)


def _as_head(session: Session, known: SourceNote) -> LiveState:
    """The live database that nobody wrote to since the head was taken from it."""
    tree = session.commits.tree(known.commit)
    found = LiveTree(tree, left_out=seen.left_out_of(known))
    row = StateRow(session.repo.id, session.repo.branch, known.commit, known.counter)
    return LiveState(State(LIVE, tree, session.repo.objects, None), found, known.commit, row)


def live_base(session: Session, row: StateRow | None) -> ObjectId | None:
    """The commit that the live database holds: the head, or the one that a crashed run had just written to it."""
    pending = session.repo.live.read().pending
    if pending is not None and row is not None and (row.repository, row.commit) == (session.repo.id, pending):
        return pending
    return session.head()


def remote_branches(session: Session) -> dict[RefName, ObjectId]:
    """The remotes' branches as last fetched."""
    refs = session.repo.refs
    names = [name for name in refs.names() if name.partition("/")[0] in session.repo.config.remotes]
    return {name: target for name in names if (target := refs.target(name)) is not None}


def _committed(session: Session, rev: str, commit: ObjectId) -> State:
    return State(rev, session.commits.tree(commit), session.repo.objects, commit)


@contextmanager
def scratch_folder(tmp: Path) -> Iterator[Path]:
    """A folder for what only this command needs, below ``tmp``."""
    import shutil
    import tempfile

    with translated(tmp):
        tmp.mkdir(exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="live-", dir=tmp))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
