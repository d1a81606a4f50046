"""One command's view of a repository: its parts, opened when needed, and what the outside world hands down."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prontosync.disk.config import ConfigError, TableConfig, located
from prontosync.disk.files import free_bytes
from prontosync.disk.objects import ObjectStore, OverlayObjectStore
from prontosync.disk.refs import Mover
from prontosync.disk.repository import Repository, find
from prontosync.engine.connection import Engine
from prontosync.errors import NoSpace, NotFound
from prontosync.history.ancestry import Ancestry
from prontosync.history.commits import Commits, Stamp
from prontosync.history.revisions import Moment, Revisions
from prontosync.model.hints import Hints
from prontosync.model.ids import ObjectId
from prontosync.model.names import RefName
from prontosync.model.progress import SILENT, Progress
from prontosync.model.rules import Rules
from prontosync.model.values import Row

if TYPE_CHECKING:
    from prontosync.history.bases import Bases
    from prontosync.history.constraints import Breach
    from prontosync.history.policies import Writer
    from prontosync.sources.contract import Source
    from prontosync.sources.survey import Selection
    from prontosync.workflow.decided import Account


class NoSource(NotFound):
    id = "no-source"


class TooLittleSpace(NoSpace):
    id = "too-little-space"


class NoHead(NotFound):
    id = "no-commits"


@dataclass(frozen=True)
class World:
    """What comes from outside: the folder that relative paths start from, the clock (aware, UTC), who is at work, their
    home, who hears notes for people and of events (``workflow.notify``), and who is told how far long work is.
    ``machine_ns`` is the time that files are stamped with, in ns since 1970, whatever the clock was set to."""

    folder: Path
    clock: Callable[[], datetime.datetime]
    author: str
    home: Path | None = None
    user: str | None = None
    note: Callable[[str], None] = lambda text: None
    notify: Callable[[str, Mapping[str, Any]], None] = lambda event, details: None
    progress: Progress = SILENT
    machine_ns: Callable[[], int] = lambda: 0


class Session:
    """The repository that one command works on. Closing it closes the engine and keeps what was learnt of the history.

    ``engine`` is for callers that work on several repositories; they close it themselves. ``with_schema`` tells an
    apply to bring the live database's definitions to what the branch has. ``account`` hears what a merge decides."""

    with_schema = False
    account: Account | None = None

    def __init__(self, repo: Repository, world: World, engine: Engine | None = None) -> None:
        self.repo, self.world, self._given = repo, world, engine
        self.commits = Commits(repo.objects)
        self.ancestry = Ancestry(self.commits, repo.inner / "cache" / "depths")
        self.said: Rules | None = None
        """The rules by which this run merges, once that is known."""
        self._said: dict[ObjectId | None, Rules] = {}
        self.refused: dict[str, dict[Row, Breach]] = {}
        """Rows by table and key that the live database refused in this run: merges hold them back."""

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if "engine" in self.__dict__ and self._given is None:
            self.engine.close()
        self.ancestry.save()

    @cached_property
    def engine(self) -> Engine:
        """The one given, or one that may read this repository's objects and spill into its ``tmp``."""
        if self._given is not None:
            return self._given
        self.repo.tmp.mkdir(exist_ok=True)
        return Engine([self.repo.inner / "objects"], self.repo.tmp)

    @cached_property
    def cached_store(self) -> ObjectStore:
        """Reads all objects, and writes into the cache: for states that can be computed again."""
        return OverlayObjectStore(self.repo.cache, self.repo.objects, sparing=True)

    @cached_property
    def merge_store(self) -> OverlayObjectStore:
        """Writes to the repository, and reads virtual bases from the cache too."""
        return OverlayObjectStore(self.repo.objects, self.repo.cache, sparing=False)

    @cached_property
    def moment(self) -> Moment:
        store = self.repo.config.store
        return Moment(self.world.clock, _zone(store.timezone) if store and store.timezone else None)

    @property
    def progress(self) -> Progress:
        return self.world.progress

    @property
    def revisions(self) -> Revisions:
        return Revisions(self.repo.refs, self.ancestry, self.repo.branch, self.moment)

    @cached_property
    def source(self) -> Source | None:
        """The live database, or None in a repository without one."""
        from prontosync.sources.locate import locate

        config = self.repo.config
        if config.source is None:
            return None
        url = located(config.source.url, self.repo.top)
        return locate(url, base=self.repo.top, temp=self.repo.tmp, selection=self.selection, progress=self.progress)

    @property
    def selection(self) -> Selection:
        """Which tables of the live database are read, and how."""
        from prontosync.sources.contract import TableOptions
        from prontosync.sources.survey import Selection
        from prontosync.workflow.terms import hints_by

        config = self.repo.config
        hints, tables = hints_by(self._in_force()), {*config.tables, *self._in_force().shared.tables}
        said = {name: config.tables.get(name) or TableConfig() for name in tables}
        options = {name: TableOptions(one.key, one.skip, hints(name).dropped) for name, one in said.items()}
        gone = frozenset(name for name in tables if hints(name).gone)
        chosen = config.source
        if chosen is None:
            return Selection(options=options, gone=gone)
        return Selection(chosen.tables, chosen.exclude, options, gone)

    def need_source(self) -> Source:
        if self.source is None:
            raise NoSource(
                "this repository has no live database", 'name one: prontosync config set source.url "/path/to/pos.db"'
            )
        return self.source

    @property
    def store_name(self) -> str:
        """The store's name; ``main`` in head office."""
        return self.repo.config.store.name if self.repo.config.store else "main"

    def now(self) -> str:
        """RFC 3339 in UTC, to the second."""
        return self.world.clock().astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def stamp(self, author: str | None = None) -> Stamp:
        return Stamp(self.store_name, author or self.world.author, self.now())

    def mover(self) -> Mover:
        return Mover(self.store_name, self.now())

    def head(self) -> ObjectId | None:
        """The commit that the current branch is at."""
        return self.repo.refs.target(self.repo.branch)

    def need_head(self) -> ObjectId:
        head = self.head()
        if head is None:
            first = "prontosync snapshot" if self.repo.config.source else "prontosync pull REMOTE BRANCH"
            raise NoHead(f'branch "{self.repo.branch}" has no commits yet', f"begin with: {first}")
        return head

    def hints(self, table: str) -> Hints:
        """What is said of a table's schema, by the rules in force: names that changed, and ends that are confirmed."""
        from prontosync.workflow.terms import hints_by

        return hints_by(self._in_force())(table)

    def _in_force(self) -> Rules:
        """The rules of this run's merge, or else those in force at the head."""
        from prontosync.workflow.rules import in_force

        if self.said is not None:
            return self.said
        head = self.head()
        if head not in self._said:
            self._said = {head: in_force(self, head)}
        return self._said[head]

    def bases(self) -> Bases:
        from prontosync.history.bases import Bases
        from prontosync.history.merge import MergeTerms
        from prontosync.workflow.rules import of_tips
        from prontosync.workflow.terms import hints_by, policies_by, writer_of, writer_of_all

        def terms(tips: Sequence[ObjectId]) -> tuple[MergeTerms, Writer, Writer]:
            rules = of_tips(self, tips)
            writers = writer_of_all(self.commits, tips[:-1], rules), writer_of(self.commits, tips[-1], rules)
            return MergeTerms(policies=policies_by(rules), hints=hints_by(rules)), *writers

        return Bases(self.ancestry, self.cached_store, self.engine, terms, self.progress)

    def journal(self, event: str, **fields: object) -> None:
        """Note what was done: plain values, no row data."""
        self.repo.journal.add({"event": event, "time": self.now(), "author": self.world.author, **fields})

    def guard_space(self) -> None:
        """Raises TooLittleSpace where less is free than ``keep_free``: the till needs its disk more than we do."""
        store = self.repo.config.store
        if store is None or store.keep_free is None:
            return
        free = free_bytes(self.repo.inner)
        if free < store.keep_free:
            raise TooLittleSpace(
                f'"{self.repo.inner}" has {free:,} bytes free, and {store.keep_free:,} are to be kept',
                "make room, or lower store.keep_free",
            )

    def advance(self, branch: RefName, commit: ObjectId | None) -> None:
        """Move a branch of ours from where it is now."""
        from prontosync.workflow.rules import remember

        self.repo.refs.advance_if_at(branch, self.repo.refs.read(branch), commit, self.mover())
        if commit is not None and branch == self.repo.branch:
            remember(self, commit)


@contextmanager
def opened(start: Path, world: World) -> Iterator[Session]:
    """The session of the repository that holds ``start``, for reading."""
    with Session(find(start), world) as session:
        yield session


@contextmanager
def locked(start: Path, world: World) -> Iterator[Session]:
    """The same, with the repository's lock: for everything that changes something. Raises RepositoryBusy (11)."""
    repo = find(start)
    with repo.lock(), Session(repo, world) as session:
        repo.sweep(world.clock().timestamp())
        yield session


def _zone(name: str) -> datetime.tzinfo:
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(f'the time zone "{name}" is unknown on this machine', "install the package tzdata") from None
