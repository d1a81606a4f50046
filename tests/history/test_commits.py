"""What a commit lists, what it inherits, and what a reader makes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prontosync.disk.objects import MemoryObjectStore, MissingObject
from prontosync.history.commits import FULL_EVERY, Commits, Stamp, Tree
from prontosync.model.encoding import MalformedObject
from prontosync.model.ids import ObjectId
from prontosync.model.objects import Changes, Parent, TableState, encode_object

STAMP = Stamp("012", "Ana", "2026-11-24T08:00:00Z")


def _state(number: int, changes: Changes = Changes(1, 0, 0)) -> TableState:  # noqa: B008
    some = ObjectId(f"{number:064x}")
    return TableState(some, some, number, None, some, (), changes)


def _add(commits: Commits, tree: Tree, *parents: ObjectId) -> ObjectId:
    return commits.add(tree, tuple(Parent(parent, "main") for parent in parents), STAMP, "m")


def test_a_commit_lists_what_changed_and_inherits_the_rest() -> None:
    commits = Commits(MemoryObjectStore())
    root = _add(commits, Tree({"a": _state(1), "b": _state(2)}))
    next_ = _add(commits, Tree({"a": _state(3), "b": _state(2, Changes(0, 9, 9))}), root)
    content = commits.read(next_)
    assert not content.full
    assert set(content.tables) == {"a"}
    fresh = Commits(commits.store)
    assert fresh.tree(next_) == Tree({"a": _state(3), "b": _state(2)})


def test_roots_merges_and_every_64th_list_all() -> None:
    commits = Commits(MemoryObjectStore())
    tree = Tree({"a": _state(1), "b": _state(0)})
    tip = _add(commits, tree)
    full = [commits.read(tip).full]
    for number in range(2, 2 * FULL_EVERY + 2):
        tree = replace(tree, tables={**tree.tables, "a": _state(number)})
        tip = _add(commits, tree, tip)
        full.append(commits.read(tip).full)
    assert [i for i, one in enumerate(full) if one] == [0, FULL_EVERY, 2 * FULL_EVERY]
    assert Commits(commits.store).tree(tip).tables.keys() == {"a", "b"}
    merged = commits.read(_add(commits, tree, tip, tip))
    assert merged.full
    assert merged.tables["b"].changes == Changes(0, 0, 0)


def test_a_dropped_table_is_gone_until_it_returns() -> None:
    commits = Commits(MemoryObjectStore())
    root = _add(commits, Tree({"a": _state(1), "b": _state(2)}))
    gone = _add(commits, Tree({"a": _state(1)}, dropped=("b",)), root)
    still = _add(commits, Tree({"a": _state(3)}, dropped=("b",)), gone)
    back = _add(commits, Tree({"a": _state(3), "b": _state(2)}), still)
    fresh = Commits(commits.store)
    assert [sorted(fresh.tree(c).tables) for c in (root, gone, still, back)] == [["a", "b"], ["a"], ["a"], ["a", "b"]]
    assert fresh.tree(back).dropped == ()


def test_conflicts_are_never_inherited() -> None:
    commits = Commits(MemoryObjectStore())
    root = _add(commits, Tree({"a": _state(1)}, conflicts={"a": ObjectId("f" * 64)}))
    decided = _add(commits, Tree({"a": _state(1)}), root)
    assert Commits(commits.store).tree(decided).conflicts == {}
    assert Commits(commits.store).tree(root).conflicts == {"a": "f" * 64}


def test_conflicts_of_a_table_that_is_not_there_are_refused() -> None:
    commits = Commits(MemoryObjectStore())
    bad = _add(commits, Tree({"a": _state(1)}, conflicts={"b": ObjectId("f" * 64)}))
    with pytest.raises(MalformedObject, match='"b"'):
        Commits(commits.store).tree(bad)


def test_a_parent_that_is_missing_is_named() -> None:
    commits = Commits(MemoryObjectStore())
    tip = _add(commits, Tree({"a": _state(2)}), _add(commits, Tree({"a": _state(1)})))
    alone = MemoryObjectStore()
    alone.add(encode_object(commits.read(tip))[1], "json")
    with pytest.raises(MissingObject):
        Commits(alone).tree(tip)
    assert Commits(alone).has(tip)
    other = alone.add(b"{}", "json").id
    with pytest.raises(MalformedObject):
        Commits(alone).read(other)
