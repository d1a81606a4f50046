"""Explain: what was decided in one commit, cell by cell, and by which rule.

A merge is made again from its parents, by the rules that it names and in a scratch store, and compared with what the
commit holds. Not all that it went by is written down (which way the tables travelled, whether there was a live
database, what ``--prefer`` said): what is likely is tried, up to what gives the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

from prontosync.disk.config import Config, SourceConfig, StoreConfig, TableConfig
from prontosync.disk.objects import FolderObjectStore, OverlayObjectStore, ScratchObjectStore
from prontosync.disk.repository import Repository
from prontosync.errors import ProntoError
from prontosync.history.commits import EMPTY, Tree, same_table
from prontosync.history.conflicts import Conflict
from prontosync.history.constraints import Breach
from prontosync.history.decisions import Decision
from prontosync.history.disputes import read_disputes
from prontosync.history.policies import HEAD_OFFICE
from prontosync.model.ids import ObjectId
from prontosync.model.names import RefName
from prontosync.model.objects import Commit, Parent
from prontosync.model.rules import Rules
from prontosync.model.schema import differences
from prontosync.model.values import Row
from prontosync.tables.compare import deltas_between
from prontosync.tables.reader import StoredTable
from prontosync.workflow.decided import Account, conflicts_at, marks_between, opened_between, value_at
from prontosync.workflow.merge import Direction, Theirs, merged_with
from prontosync.workflow.merge_many import merged_all
from prontosync.workflow.session import Session
from prontosync.workflow.states import scratch_folder

_NONE: frozenset[None] = frozenset()


@dataclass(frozen=True)
class Explained:
    """``decisions`` by table, key and column. Of a merge of which all parents are here, ``differing`` are the tables in
    which making it again gives something else than the commit holds; None for other commits. ``missing`` are the
    parents that are not here. ``prefer`` is what ``--prefer`` said, as "ours" or "theirs"."""

    decisions: tuple[Decision, ...]
    differing: tuple[str, ...] | None = None
    missing: tuple[Parent, ...] = ()
    prefer: str | None = None


def explain(session: Session, commit: ObjectId) -> Explained:
    """What was decided in a commit. Writes nothing that stays, and moves nothing."""
    content = session.commits.read(commit)
    gone = set(session.ancestry.boundaries(commit))
    missing = tuple(parent for parent in content.parents if parent.commit in gone)
    before = session.commits.tree(content.parents[0].commit) if content.parents else EMPTY
    if missing or len(content.parents) < 2:
        after = session.commits.tree(commit)
        heard = Account()
        for decision in _between(session, content, before, after):
            heard.hear(decision)
        return Explained(tuple(heard.decisions()), missing=missing)
    return _made_again(session, _Made(commit, content, session.commits.rules(commit)))


def _between(session: Session, content: Commit, before: Tree, after: Tree) -> Iterator[Decision]:
    """What a commit's open conflicts tell against its first parent's: those decided, by whom, those new, and rows that
    are held or not any more."""
    resolved = len(content.parents) == 1 and not content.merge
    for name in sorted(before.conflicts) if resolved else ():
        if name in after.tables and before.conflicts[name] != after.conflicts.get(name):
            left = conflicts_at(session, after, name)
            known = conflicts_at(session, before, name)
            yield from (_resolved(session, content, after, one) for i, one in known.items() if i not in left)
    yield from opened_between(session, before, after)
    yield from marks_between(session, before, after, ended=not resolved)


def _resolved(session: Session, content: Commit, after: Tree, one: Conflict) -> Decision:
    candidates, chosen = frozenset(choice.value for choice in one.choices), value_at(session, after, one)
    rule = f"resolved by {content.author} at {content.store}"
    return Decision(one.table, one.schema, one.key, one.column, rule, _NONE, candidates, _NONE, frozenset([chosen]))


@dataclass(frozen=True)
class _Made:
    """A merge commit, and the rules that it names."""

    id: ObjectId
    content: Commit
    rules: Rules

    @property
    def by_head_office(self) -> bool:
        return self.content.store == (self.rules.store or HEAD_OFFICE) or self.content.renumbered is not None


@dataclass(frozen=True)
class _Guess:
    """What a merge may have gone by, beside its rules."""

    directions: tuple[Direction, ...]
    source: bool
    prefer: str | None


def _made_again(session: Session, made: _Made) -> Explained:
    likely: Explained | None = None
    problem: ProntoError | None = None
    for guess in _guesses(session, made):
        with scratch_folder(session.repo.tmp) as folder:
            place = _Place(session, made, guess, ScratchObjectStore(folder))
            try:
                result = _merge(place, made, guess)
            except ProntoError as error:
                problem = problem or error
                continue
            differing = _differing(place, result, session.commits.tree(made.id))
            found = Explained(tuple(place.heard.decisions()), differing, prefer=guess.prefer)
        if not differing:
            return found
        likely = likely or found
    if likely is None and problem is not None:
        raise problem
    assert likely is not None
    return likely


def _guesses(session: Session, made: _Made) -> Iterator[_Guess]:
    """What is likely first. Of many branches, only what is likely of their directions."""
    directions = tuple(_direction(session, made, parent) for parent in made.content.parents[1:])
    turned: Direction = "up" if directions[0] == "down" else "down"
    ways = [directions] if len(directions) > 1 or directions[0] == "same" else [directions, (turned,)]
    here = made.content.store == session.store_name
    source = session.repo.config.source is not None if here else not made.by_head_office
    preferred = (None,) if made.content.merge else (None, "theirs", "ours")
    for way, live in product(ways, (source, not source)):
        yield from (_Guess(way, live, prefer) for prefer in preferred)


def _direction(session: Session, made: _Made, parent: Parent) -> Direction:
    content, rules = made.content, made.rules
    if parent.branch == content.parents[0].branch:
        return "same"
    store = session.repo.config.store
    if not rules.version and content.store == session.store_name and store is not None and store.upstream is not None:
        return "down" if parent.branch == store.upstream.partition("/")[2] else "up"
    return "down" if parent.branch == (rules.branch or HEAD_OFFICE) and not made.by_head_office else "up"


def _merge(place: _Place, made: _Made, guess: _Guess) -> Tree:
    """The merge of all parents, without a commit."""
    place.said = said = made.rules
    head, *others = made.content.parents
    pairs = zip(others, guess.directions, strict=True)
    sides = [Theirs(parent.commit, parent.branch, direction) for parent, direction in pairs]
    if len(sides) == 1:
        return merged_with(place, head.commit, sides[0], said, guess.prefer).tree
    return merged_all(place, head.commit, sides, said, dict.fromkeys(sides, guess.prefer)).tree


def _differing(place: _Place, made: Tree, held: Tree) -> tuple[str, ...]:
    """The tables in which two states do not have the same rows and conflicts, however they are stored."""
    names = sorted(made.tables.keys() | held.tables.keys())
    return tuple(name for name in names if not same_table(made, held, name) and not _alike(place, made, held, name))


def _alike(place: _Place, made: Tree, held: Tree, name: str) -> bool:
    if name not in made.tables or name not in held.tables:
        return False
    mine, other = _stored(place, made, name), _stored(place, held, name)
    if differences(mine.schema, other.schema) or next(deltas_between(mine, other), None) is not None:
        return False
    found = read_disputes(other, held.conflicts.get(name)).in_columns(mine.schema)
    return read_disputes(mine, made.conflicts.get(name)).same_as(found)


class _Place(Session):
    """The place that made a commit, as it was then, as far as a merge depends on it. What it writes goes to
    ``scratch``."""

    def __init__(self, now: Session, made: _Made, guess: _Guess, scratch: FolderObjectStore) -> None:
        content = made.content
        repo = _Repository(now.repo, RefName(content.parents[0].branch), _config(made, guess))
        super().__init__(repo, replace(now.world, note=lambda text: None), now.engine)
        self.commits, self.ancestry = now.commits, now.ancestry
        self.account = self.heard = Account()
        self._content, self._scratch = content, scratch
        self.refused = _refused(now, made)

    @cached_property
    def merge_store(self) -> OverlayObjectStore:
        known = OverlayObjectStore(self.repo.objects, self.repo.cache, sparing=False)
        return OverlayObjectStore(self._scratch, known, sparing=True)

    @cached_property
    def cached_store(self) -> OverlayObjectStore:
        return self.merge_store

    def head(self) -> ObjectId | None:
        return self._content.parents[0].commit

    def now(self) -> str:
        return self._content.time


class _Repository(Repository):
    """A repository on another branch and with another configuration than it has."""

    def __init__(self, there: Repository, branch: RefName, config: Config) -> None:
        super().__init__(there.top)
        self._branch, self._config = branch, config

    @property
    def branch(self) -> RefName:
        return self._branch


def _config(made: _Made, guess: _Guess) -> Config:
    """What the place's file may have said: its rules, whether there is a live database, and an upstream."""
    content, rules = made.content, made.rules
    down = [p.branch for p, way in zip(content.parents[1:], guess.directions, strict=True) if way == "down"]
    upstream = down[0] if down else None if made.by_head_office else rules.branch or HEAD_OFFICE
    own = rules.added if rules.version and upstream else rules.shared
    return Config(
        store=StoreConfig(content.store, content.parents[0].branch, f"hub/{upstream}" if upstream else None),
        source=SourceConfig("") if guess.source else None,
        tables={name: TableConfig(rules=said) for name, said in own.tables.items()},
        default=own.default,
        invariants=dict(own.invariants),
    )


def _refused(session: Session, made: _Made) -> dict[str, dict[Row, Breach]]:
    """The rows that are held by what the live database said: no test of ours tells why."""
    tree = session.commits.tree(made.id)
    return {
        name: {
            key: Breach(key, dispute.mark.kind, dispute.mark.detail)
            for key, dispute in read_disputes(_stored(session, tree, name), tree.conflicts[name]).rows.items()
            if dispute.mark is not None and dispute.mark.kind == "check"
        }
        for name in tree.conflicts
    }


def _stored(session: Session, tree: Tree, name: str) -> StoredTable:
    return StoredTable(session.merge_store, session.engine, name, tree.tables[name])
