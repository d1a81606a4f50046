"""Start: make a repository, a hub, or a copy of what a hub holds."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from prontosync.disk.config import RemoteConfig
from prontosync.disk.config_edit import add_remote, initial, set_value
from prontosync.disk.live import LiveNote
from prontosync.disk.repository import CONFIG_NAME, INNER, Repository, create
from prontosync.errors import NotFound, UsageError
from prontosync.history.commits import Tree
from prontosync.history.disputes import rows_by_key
from prontosync.history.live_rows import decode_pins, encode_pins
from prontosync.history.sets import is_candidate
from prontosync.model.ids import ObjectId
from prontosync.model.names import TAG_PREFIX, RefName, ref_name, store_name
from prontosync.remote.connection import ConnectionOptions
from prontosync.remote.contract import Remote
from prontosync.remote.locate import locate as locate_remote
from prontosync.sources.contract import LeftOut, SourceState, SourceTable
from prontosync.sources.locate import locate as locate_source
from prontosync.tables.reader import StoredTable
from prontosync.workflow.live import LiveReader, LiveTree, keep_pins, table_disputes
from prontosync.workflow.remotes import Transfer, fetch, linked
from prontosync.workflow.restore import restore
from prontosync.workflow.session import Session, World

HUB = "hub"
MAIN = RefName("main")


class NoSuchBranch(NotFound):
    id = "unknown-branch"


class FolderTaken(UsageError):
    id = "folder-taken"


@dataclass(frozen=True)
class Started:
    """A new repository: its folder and branch, the tables found, and those left out and why."""

    top: Path
    branch: RefName
    tables: tuple[SourceTable, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class Cloned:
    """``source`` is "restored", "adopted" (the database equals the branch), "differs" (its state is a new root), or
    None."""

    top: Path
    branch: RefName
    head: ObjectId | None
    fetched: Transfer
    source: str | None
    absent: RefName | None = None


def init(top: Path, world: World, source: str | None, store: str | None, branch: str | None) -> Started:
    """A repository in ``top``: for a live database, or head office's without one. Nothing is made where it fails."""
    name = store_name(store) if store else None
    own = ref_name(branch) if branch else default_branch(name)
    url = kept_url(source, world) if source else None
    found = _survey(url, world) if url else ((), ())
    repo = create(top, initial(store=name, source_url=url, branch=str(own) if name else None), own)
    with Session(repo, world) as session:
        session.journal("init")
    return Started(top, own, *found)


def _survey(url: str, world: World) -> tuple[tuple[SourceTable, ...], tuple[LeftOut, ...]]:
    """The tables of a source as declared, and those left out."""
    with tempfile.TemporaryDirectory() as temp, locate_source(url, base=world.folder, temp=Path(temp)).read() as live:
        return tuple(live.describe(name) for name in live.tables), live.left_out


def hub_at(url: str, world: World, identity: str | None, known_hosts: str | None, fingerprint: str | None) -> Remote:
    """The remote at an address, before there is a repository that knows it; paths are relative to where we are."""
    options = ConnectionOptions(
        user=world.user,
        home=world.home,
        identity=world.folder / identity if identity else None,
        known_hosts=world.folder / known_hosts if known_hosts else None,
        fingerprint=fingerprint,
    )
    return locate_remote(url, options, world.folder)


def init_bare(remote: Remote) -> str:
    """A hub; gives its id."""
    identity = str(uuid.uuid4())
    with remote as hub:
        hub.create(identity)
    return identity


def default_branch(store: str | None) -> RefName:
    """``stores/<store>``, without a store ``main``."""
    return ref_name(f"stores/{store}") if store else MAIN


def kept_url(text: str, world: World) -> str:
    """An address as the configuration keeps it: a path becomes absolute, so that cron may start anywhere."""
    path = (world.folder / text).absolute()
    if "://" in text:
        return text
    return str(path.resolve() if ".." in path.parts else path)


def kept_address(text: str, world: World) -> str:
    """The address of a remote as the configuration keeps it. Raises BadUrl where it is none."""
    locate_remote(text, ConnectionOptions(user=world.user), world.folder)
    return kept_url(text, world)


def clone(
    url: str,
    top: Path,
    world: World,
    remote: RemoteConfig,
    branch: str | None,
    store: str | None,
    source: str | None,
) -> Cloned:
    """A repository with what the hub at ``url`` holds, which becomes the remote ``hub``."""
    name = store_name(store or top.absolute().name.lower()) if (store or source) else None
    if top.exists() and (not top.is_dir() or any(top.iterdir())):
        raise FolderTaken(f'"{top}" is not empty', "clone into a new folder")
    kept = replace(remote, name=HUB, url=kept_address(url, world))
    text = initial(store=name, source_url=kept_url(source, world) if source else None)
    existed = top.exists()
    try:
        repo = create(top, text, default_branch(name))
        add_remote(repo.config_path, kept)
        return _fill(Repository(top), world, branch, name, source)
    except BaseException:
        _remove_all(top, existed)
        raise


def _remove_all(top: Path, existed: bool) -> None:
    """A clone that failed leaves nothing, so that it can be tried again. The folder was empty before."""
    shutil.rmtree(top / INNER, ignore_errors=True)
    (top / CONFIG_NAME).unlink(missing_ok=True)
    if not existed:
        shutil.rmtree(top, ignore_errors=True)


def _fill(repo: Repository, world: World, branch: str | None, store: str | None, source: str | None) -> Cloned:
    with repo.lock(), Session(repo, world) as session:
        with linked(session, HUB) as link:
            with session.progress.task(f'asking "{HUB}" what it holds', None, "refs"):
                link.remote.hub_id()
                refs = link.remote.list_refs()
            chosen = _choose(refs, branch, store)
            fetched = fetch(link, refs if store is None else _for_store(refs, chosen))
        repo.set_branch(chosen)
        _keep_branch(repo, session, chosen)
        head = repo.refs.target(RefName(f"{HUB}/{chosen}"))
        state = _source_state(session, chosen, head) if source and head else None
        if source is None and head is not None:
            session.advance(chosen, head)
        session.journal("clone", branch=chosen)
        own = default_branch(store)
        absent = own if store and branch is None and chosen not in (own, MAIN) else None
        return Cloned(repo.top, chosen, session.head(), fetched, state, absent)


def _keep_branch(repo: Repository, session: Session, chosen: RefName) -> None:
    config = repo.config.store
    if config is not None and config.branch != chosen:
        set_value(repo.config_path, "store.branch", chosen)


def _choose(refs: Sequence[RefName], branch: str | None, store: str | None) -> RefName:
    """The branch asked for; else the store's, else ``main``, else the only one. Raises NoSuchBranch."""
    branches = [ref for ref in refs if not ref.startswith(TAG_PREFIX)]
    if branch is not None:
        wanted = ref_name(branch)
        if wanted in branches:
            return wanted
        raise NoSuchBranch(f'the hub has no branch "{wanted}"', f"it has: {', '.join(branches) or 'none'}")
    for candidate in ([default_branch(store)] if store else []) + [MAIN]:
        if candidate in branches:
            return candidate
    if len(branches) == 1:
        return branches[0]
    raise NoSuchBranch(
        "the hub has several branches, none of them main" if branches else "the hub has no branch yet",
        f"choose one with --branch: {', '.join(branches)}" if branches else "push to it first",
    )


def _for_store(refs: Sequence[RefName], chosen: RefName) -> list[RefName]:
    """What a store needs of a hub: its branch, head office's, and the tags."""
    return [ref for ref in refs if ref in (chosen, MAIN) or ref.startswith(TAG_PREFIX)]


def _source_state(session: Session, branch: RefName, head: ObjectId) -> str:
    """Bring the live database and the branch together (``docs/merging.md``, First contact)."""
    source = session.need_source()
    if source.is_empty():
        restore(session, head, source)
        _adopt(session, head)
        session.advance(branch, head)
        return "restored"
    with source.read() as live:
        counter = live.state_row.counter if live.state_row else 0
        return _read_state(session, live, branch, head, counter)


def _read_state(session: Session, live: SourceState, branch: RefName, head: ObjectId, counter: int) -> str:
    with session.repo.objects.batch():
        against_head = LiveReader(session, session.repo.objects, head).read(live)
        equal = _equal(session, against_head, session.commits.tree(head))
        if not equal:
            found = LiveReader(session, session.repo.objects, None).read(live)
            commit = session.commits.add(found.tree, (), session.stamp(), "first contact")
    if equal:
        # A disputed row may differ from what the branch shows: what the live database holds is what it is pinned to.
        keep_pins(session, head, against_head.pins)
        session.repo.live.write(LiveNote(head, None, counter))
        session.advance(branch, head)
        return "adopted"
    session.repo.live.write(LiveNote(commit, None, counter))
    session.advance(branch, commit)
    return "differs"


def _equal(session: Session, found: LiveTree, tree: Tree) -> bool:
    """Whether the live database holds the same tables, columns and rows as a commit, in a disputed row one of its
    candidates; how tables are declared does not matter."""
    if any(found.changes.values()) or found.gone:
        return False
    schemas = {name: state.schema for name, state in found.tree.tables.items()}
    if schemas != {name: state.schema for name, state in tree.tables.items()}:
        return False
    return all(_holds_candidates(session, tree, name, data) for name, data in found.pins.items())


def _holds_candidates(session: Session, tree: Tree, name: str, pins: bytes) -> bool:
    disputes = table_disputes(session, tree, name)
    held = decode_pins(disputes.schema, pins)
    return all(is_candidate(dispute.state, held.get(key)) for key, dispute in disputes.rows.items())


def _adopt(session: Session, head: ObjectId) -> None:
    """The live database holds this commit as its tables show it: that is what its disputed rows are pinned to."""
    tree = session.commits.tree(head)
    pins = {}
    for name in tree.conflicts:
        disputes = table_disputes(session, tree, name)
        table = StoredTable(session.cached_store, session.engine, name, tree.tables[name])
        rows = rows_by_key(table.schema, table.rows_at(disputes.keys_table()))
        pins[name] = encode_pins(table.schema, {key: rows.get(key) for key in disputes.rows})
    keep_pins(session, head, pins)
    session.repo.live.write(LiveNote(head, None, 0))
