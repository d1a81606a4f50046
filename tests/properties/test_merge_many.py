"""Many branches in one merge: the rows, the candidates and the counts of one merge after the other."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prontosync.engine.connection import Engine
from prontosync.history.disputes import Disputes
from prontosync.model.ids import ObjectId
from prontosync.workflow.merge_many import build_all, sides_of
from prontosync.workflow.session import Session
from tests.fixtures.fleet import EXTRA, MAIN, TABLES, Fleet


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as shared:
        yield shared


def play(fleet: Fleet, session: Session, source: random.Random, keys: int, steps: int) -> None:
    """Edits everywhere, stores that take head office's state, head office that takes some stores'."""
    for _ in range(steps):
        branch = source.choice([*fleet.stores, MAIN])
        match source.choices(["edit", "down", "up", "across"], [8, 3, 3, 1])[0]:
            case "edit":
                fleet.edit(session, branch, source, keys, source.randint(1, 4))
            case "down" if branch != MAIN:
                fleet.merge(session, branch, [MAIN], together=True)
            case "up":
                some = source.sample(fleet.stores, source.randint(1, len(fleet.stores)))
                fleet.merge(session, MAIN, some, together=bool(source.getrandbits(1)))
            case "across":
                fleet.merge(session, branch, [b for b in source.sample(fleet.stores, 2) if b != branch], together=True)


def branches_of(disputes: Disputes) -> dict[object, set[str]]:
    """By candidate, the branches that it is named by."""
    return {
        (key, column, value): {origin.branch for origin in origins}
        for key, dispute in disputes.rows.items()
        for (column, value), origins in dispute.origins.items()
    }


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 30), stores=st.integers(2, 7), keys=st.integers(2, 12), steps=st.integers(0, 15))
def test_one_merge_of_all_is_one_merge_after_the_other(
    engine: Engine, seed: int, stores: int, keys: int, steps: int
) -> None:
    source = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(Path(folder) / "r", engine, stores, keys - 1)
        with fleet.session() as session:
            play(fleet, session, source, keys, steps)
            for branch in fleet.stores:
                fleet.edit(session, branch, source, keys, source.randint(1, 4))
            head = session.need_head()
            sides = sides_of(session, fleet.stores)
            together = build_all(session, head, sides)
            assert together.commit is not None
            one = fleet.one_by_one(session, head, sides)
            check_parents(session, head, together.commit)
            for table in (*TABLES, EXTRA):
                rows, disputes = fleet.state(session, together.commit, table)
                wanted, candidates = fleet.state(session, one, table)
                assert rows == wanted
                assert disputes.same_as(candidates)
                # The names may differ: a step that leaves the candidates as they are names nobody.
                assert all(found <= {MAIN, *fleet.stores} for found in branches_of(disputes).values())
            session.advance(MAIN, together.commit)
            assert build_all(session, together.commit, sides).commit is None, "what was merged brings nothing"


def check_parents(session: Session, head: ObjectId, commit: ObjectId) -> None:
    """Ours first, then the branches by name; none is an ancestor of what comes before it."""
    parents = session.commits.read(commit).parents
    assert parents[0].commit == head
    names = [parent.branch for parent in parents[1:]]
    assert names == sorted(names)
    for number, parent in enumerate(parents[1:], 1):
        assert session.ancestry.only_in([parent.commit], [p.commit for p in parents[:number]])
