"""Questions about the graph of commits against brute force on random graphs, with and without a kept cache."""

from __future__ import annotations

import random
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prontosync.disk.objects import MemoryObjectStore
from prontosync.errors import Damaged
from prontosync.history.ancestry import Ancestry, CyclicHistory
from prontosync.history.commits import Commits
from prontosync.history.reach import Reach
from prontosync.model.ids import ObjectId, ObjectName
from prontosync.model.objects import Commit, Parent, encode_object

Graph = Mapping[int, tuple[int, ...]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Commits by number, each with up to three older parents; several roots."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    size, reach = draw(st.integers(1, 24)), draw(st.sampled_from([3, 6, 24]))
    graph = {}
    for number in range(size):
        older = range(max(0, number - reach), number)
        count = min(len(older), rng.choice([0, 1, 1, 1, 2, 2, 3]))
        graph[number] = tuple(rng.sample(older, count))
    return graph


class Made:
    """The commits of a graph in a store; ``absent`` are not put there."""

    def __init__(self, graph: Graph, absent: Sequence[int] = ()) -> None:
        self.graph, self.store, self.bytes, self.ids = graph, MemoryObjectStore(), {}, {}
        for number, parents in graph.items():
            self.ids[number], self.bytes[number] = encode_object(commit(number, [self.ids[p] for p in parents]))
        for number in graph:
            if number not in absent:
                self.arrive(number)

    def arrive(self, number: int) -> None:
        self.store.add(self.bytes[number], "json")

    def ancestry(self, cache: Path | None = None) -> Ancestry:
        return Ancestry(Commits(self.store), cache)

    def ancestors(self, number: int, absent: Sequence[int] = ()) -> set[int]:
        found, waiting = set[int](), [number]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += [p for p in self.graph[one] if p not in absent]
        return found

    def depth(self, number: int) -> int:
        return 1 + max((self.depth(p) for p in self.graph[number]), default=0)


def commit(number: int, parents: Sequence[ObjectId]) -> Commit:
    named = tuple(Parent(parent, "main") for parent in parents)
    return Commit(named, {}, (), not parents, {}, None, "012", "a", f"{number}", "", False, None, (), None)


@settings(max_examples=150)
@given(graphs(), st.data())
def test_answers_are_those_of_brute_force(graph: Graph, data: st.DataObject) -> None:
    made = Made(graph)
    ancestry = made.ancestry()
    numbers = st.sampled_from(sorted(graph))
    a, b, c = data.draw(numbers), data.draw(numbers), data.draw(numbers)
    mine, theirs = made.ancestors(a), made.ancestors(b)
    common = mine & theirs
    newest = {n for n in common if not any(n in made.ancestors(o) for o in common - {n})}
    ids = made.ids
    assert ancestry.merge_bases([ids[a]], ids[b]) == sorted(ids[n] for n in newest)
    assert set(ancestry.only_in([ids[a], ids[c]], [ids[b]])) == {ids[n] for n in (mine | made.ancestors(c)) - theirs}
    order = ancestry.only_in([ids[a]], [])
    assert all(order.index(ids[p]) < order.index(ids[n]) for n in mine for p in graph[n])
    assert ancestry.is_ancestor(ids[a], ids[b]) == (a in theirs)
    assert ancestry.depth(ids[a]) == made.depth(a)
    line = ancestry.line_since(ids[a], sorted(ids[n] for n in newest))
    joined = {
        n for n in mine if ids[n] in line and (n in newest or any(newest & made.ancestors(p) for p in graph[n][1:]))
    }
    assert set(ancestry.joins(line, [ids[n] for n in newest])) == {ids[n] for n in joined}


@settings(max_examples=200)
@given(graphs(), st.data())
def test_what_is_reached_from_tips_that_are_added(graph: Graph, data: st.DataObject) -> None:
    made = Made(graph)
    ancestry = made.ancestry()
    tips = data.draw(st.lists(st.sampled_from(sorted(graph)), min_size=1, max_size=6))
    reach = Reach(ancestry, [made.ids[tips[0]]])
    for number, tip in enumerate(tips[1:], 1):
        ours = [made.ids[n] for n in tips[:number]]
        new, common = reach.beyond(made.ids[tip])
        assert new == ancestry.only_in([made.ids[tip]], ours)
        assert common == ancestry.merge_bases(ours, made.ids[tip])
        reach.add(made.ids[tip])


@settings(max_examples=100)
@given(graphs(), st.data())
def test_a_cache_is_used_and_boundaries_that_arrive_are_seen(
    tmp_path_factory: pytest.TempPathFactory, graph: Graph, data: st.DataObject
) -> None:
    others = sorted({p for parents in graph.values() for p in parents[1:]} - {p[0] for p in graph.values() if p})
    absent = data.draw(st.sets(st.sampled_from(others))) if others else set[int]()
    tips = [n for n in graph if n not in absent and not made_unreadable(graph, n, absent)]
    if not tips:
        return
    made, cache = Made(graph, sorted(absent)), tmp_path_factory.mktemp("cache") / "depths"
    a, b = data.draw(st.sampled_from(tips)), data.draw(st.sampled_from(tips))
    first = made.ancestry(cache)
    found = first.merge_bases([made.ids[a]], made.ids[b])
    common = made.ancestors(a, sorted(absent)) & made.ancestors(b, sorted(absent))
    assert set(found) <= {made.ids[n] for n in common}
    first.save()
    assert made.ancestry(cache).merge_bases([made.ids[a]], made.ids[b]) == found

    for number in sorted(absent):
        made.arrive(number)
    told, untold = made.ancestry(cache), made.ancestry(cache)
    told.arrived([made.ids[n] for n in sorted(absent)])
    fresh = Made(graph).ancestry().merge_bases([made.ids[a]], made.ids[b])
    assert told.merge_bases([made.ids[a]], made.ids[b]) == fresh
    assert untold.merge_bases([made.ids[a]], made.ids[b]) == fresh
    told.save()


def made_unreadable(graph: Graph, number: int, absent: set[int]) -> bool:
    """Whether a first parent is missing somewhere below: no fetch leaves that."""
    waiting, seen = [number], set[int]()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        if graph[one] and graph[one][0] in absent:
            return True
        waiting += [p for p in graph[one] if p not in absent]
    return False


@pytest.mark.parametrize("junk", [b"", b"\0" * 35, b"\1" * 36 * 3, b"x" * 1000])
def test_a_cache_of_junk_changes_no_answer(tmp_path: Path, junk: bytes) -> None:
    graph = {0: (), 1: (0,), 2: (0,), 3: (1, 2), 4: (2, 1)}
    made = Made(graph)
    (tmp_path / "depths").write_bytes(junk)
    ancestry = made.ancestry(tmp_path / "depths")
    assert ancestry.merge_bases([made.ids[3]], made.ids[4]) == sorted([made.ids[1], made.ids[2]])
    wrong = b"".join(bytes.fromhex(i) + (10 - n).to_bytes(4, "little") for n, i in made.ids.items())
    (tmp_path / "depths").write_bytes(wrong)
    ancestry = made.ancestry(tmp_path / "depths")
    assert ancestry.merge_bases([made.ids[3]], made.ids[4]) == sorted([made.ids[1], made.ids[2]])


class _Forged(MemoryObjectStore):
    """A store that gives whatever bytes it was told to, as if a hash had been broken."""

    def __init__(self, commits: Mapping[ObjectId, bytes]) -> None:
        super().__init__()
        self._forged = commits

    def has(self, name: ObjectName) -> bool:
        return name.id in self._forged

    def read(self, name: ObjectName) -> bytes:
        return self._forged[name.id]


@pytest.mark.parametrize("length", [1, 2, 7])
def test_a_forged_cycle_is_named(length: int) -> None:
    ids = [ObjectId(f"{n:064x}") for n in range(length)]
    forged = {i: encode_object(commit(n, [ids[(n + 1) % length]]))[1] for n, i in enumerate(ids)}
    with pytest.raises(CyclicHistory) as cycle:
        Ancestry(Commits(_Forged(forged))).depth(ids[0])
    assert isinstance(cycle.value, Damaged)


def test_a_history_of_a_hundred_thousand_commits(tmp_path: Path) -> None:
    store, line, parent = MemoryObjectStore(), [], list[ObjectId]()
    for number in range(100_000):
        name = store.add(encode_object(commit(number, parent))[1], "json")
        parent = [name.id]
        line.append(name.id)
    side = store.add(encode_object(commit(-1, [line[50_000]]))[1], "json").id
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ancestry = Ancestry(Commits(store), tmp_path / "depths")
    assert ancestry.depth(line[-1]) == 100_000
    assert ancestry.merge_bases([line[-1]], side) == [line[50_000]]
    ancestry.save()
    assert Ancestry(Commits(store), tmp_path / "depths").depth(line[-1]) == 100_000
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < 150_000
