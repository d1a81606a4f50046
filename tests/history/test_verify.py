"""Whatever object of a repository with merges and conflicts is damaged, missing or another: verify names it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from prontosync.disk.objects import FolderObjectStore
from prontosync.disk.refs import Mover, record_path
from prontosync.disk.repository import Repository
from prontosync.engine.connection import Engine
from prontosync.history.closure import tree_objects
from prontosync.history.commits import Stamp, Tree
from prontosync.history.verify import Findings, Verifier
from prontosync.model import encoding
from prontosync.model.ids import ObjectId, ObjectName, object_id
from prontosync.model.names import RefName
from prontosync.model.objects import Parent, TableState
from prontosync.workflow.session import Session
from prontosync.workflow.verify import verify
from tests.fixtures.places import ITEM, ROWS, Place, Town, build_chain, rest

BRANCH = RefName("stores/one")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as shared:
        yield shared


@pytest.fixture(scope="module")
def made(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A store with merges in its history and open conflicts of both kinds."""
    top = build_chain(tmp_path_factory.mktemp("verify") / "town", engine, ["one", "two"], ITEM, ROWS)
    town = Town(top, engine, made=True)
    office, one, two = (Place(town, name) for name in ("office", "one", "two"))
    one.sql("UPDATE item SET price = 11 WHERE id = 1", "DELETE FROM item WHERE id = 2")
    two.sql("UPDATE item SET price = 12 WHERE id = 1", "UPDATE item SET name = 'Clog' WHERE id = 2")
    rest([one, two, office])
    assert len(one.disputes()) == 2
    return one


@pytest.fixture
def place(made: Place, tmp_path: Path) -> Place:
    return Place(replace(made.town, top=Path(shutil.copytree(made.town.top, tmp_path / "town"))), "one")


def _needed(place: Place) -> list[ObjectName]:
    with place.session() as session:
        found, strangers = set[ObjectName](), set[ObjectId]()
        for commit in session.ancestry.only_in([session.need_head()], []):
            found |= tree_objects(session.commits, commit)
            # Another branch's commit that is missing looks like one that never came.
            strangers |= {p.commit for p in session.commits.read(commit).parents[1:] if p.branch != BRANCH}
        return sorted(name for name in found if name.id not in strangers)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 16
    path.chmod(0o644)
    path.write_bytes(data)


def _swap(path: Path) -> None:
    other = next(p for p in sorted(path.parent.parent.glob(f"??/*{path.suffix}")) if p != path)
    path.chmod(0o644)
    path.write_bytes(other.read_bytes())


def _empty(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


HARMS: dict[str, Callable[[Path], None]] = {
    "flipped": _flip, "missing": Path.unlink, "swapped": _swap, "empty": _empty, "a folder": _folder,
}  # fmt: skip


@pytest.mark.parametrize("harm", HARMS)
def test_every_object_that_is_harmed_is_named(place: Place, harm: str) -> None:
    assert place.verified().sound
    for name in _needed(place):
        path = place.top / ".prontosync" / name.path
        kept = path.read_bytes()
        HARMS[harm](path)
        for findings in (place.verified(), _verified_head(place)):
            named = {what for what, _ in findings.damaged} | set(findings.missing)
            assert named == {name.id}, (name, named)
            assert (name.id in findings.missing) == (not path.exists())
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(kept)
    assert place.verified().sound


def _verified_head(place: Place) -> Findings:
    with place.session() as session:
        return verify(session, "HEAD")


@pytest.mark.parametrize("how", ["flipped", "foreign", "of another ref", "skipped", "junk"])
def test_a_ref_record_that_is_harmed_is_named(place: Place, how: str) -> None:
    inner = place.top / ".prontosync"
    with place.session() as session:
        newest = session.repo.refs.read(BRANCH)
    assert newest is not None
    path = inner / record_path(BRANCH, newest.generation)
    if how == "flipped":
        _flip(path)
    elif how == "skipped":
        path.rename(inner / record_path(BRANCH, newest.generation + 1))
    elif how == "junk":
        path.unlink()
        path.write_bytes(b"{}")
    else:
        record = newest.record
        fields = {name: getattr(record, name) for name in record.__struct_fields__}
        fields |= {"hub": "another"} if how == "foreign" else {"ref": "main"}
        path.unlink()
        path.write_bytes(encoding.encode(type(record)(**fields)))
    with place.session() as session:
        findings = verify(session)
    assert [what for what, _ in findings.damaged] == [f"ref {BRANCH}"]


def test_a_state_whose_digest_lies_is_named_by_its_commit(place: Place) -> None:
    with place.session() as session:
        tree = session.commits.tree(session.need_head())
        commit = _commit(session, tree, _with(tree.tables["item"], digest=object_id(b"other rows")))
        session.advance(BRANCH, commit)
        findings = verify(session)
    assert [what for what, _ in findings.damaged] == [commit]


@pytest.mark.parametrize("what", ["schema", "ddl", "checkpoint"])
def test_an_object_of_another_kind_in_its_place_is_named(place: Place, what: str) -> None:
    with place.session() as session:
        tree = session.commits.tree(session.need_head())
        state = tree.tables["item"]
        wrong = state.ddl if what == "schema" else state.schema
        if what == "checkpoint":
            wrong = tree.conflicts["item"]
        commit = _commit(session, tree, _with(state, **{what: wrong}))
        session.advance(BRANCH, commit)
        findings = verify(session)
    assert wrong in {one for one, _ in findings.damaged}


def test_a_commit_with_conflicts_of_no_table_is_named(place: Place) -> None:
    with place.session() as session:
        tree = session.commits.tree(session.need_head())
        lying = Tree(tree.tables, {**tree.conflicts, "nothing": tree.conflicts["item"]}, database=tree.database)
        commit = session.commits.add(lying, (Parent(session.need_head(), BRANCH),), Stamp("one", "a", "t"), "m")
        session.advance(BRANCH, commit)
        findings = verify(session)
    assert [what for what, _ in findings.damaged] == [commit]


def test_an_object_of_a_newer_version_is_named_and_stops_nothing(place: Place) -> None:
    with place.session() as session:
        newer = session.repo.objects.add(
            b'{"columns":[{"name":"id","type":"int64"}],"key":["id"],"kind":"schema","requires":["lanes"]}', "json"
        ).id
        tree = session.commits.tree(session.need_head())
        session.advance(BRANCH, _commit(session, tree, _with(tree.tables["item"], schema=newer)))
        findings = verify(session)
    assert [what for what, _ in findings.damaged] == [newer]


def test_a_ref_to_nothing_names_what_is_missing(place: Place) -> None:
    nothing = object_id(b"nothing")
    with place.session() as session:
        session.repo.refs.advance_if_at(RefName("lost"), None, nothing, Mover("one", "t"))
        findings = verify(session)
    assert findings.missing == [nothing]


def test_samples_together_are_everything(place: Place) -> None:
    whole = place.verified()
    with place.session() as session:
        parts = [verify(session, None, (part, 3)) for part in range(1, 4)]
    assert sum(part.objects for part in parts) == whole.objects
    assert sum(part.bytes for part in parts) == whole.bytes


def test_nothing_is_written(place: Place) -> None:
    before = sorted((p, p.stat().st_mtime_ns) for p in place.top.rglob("*") if p.is_file() and p.name != "lock")
    repo = Repository(place.top)
    with Session(repo, place.town.world, place.town.engine) as session:
        verifier = Verifier(session.commits, session.engine)
        verifier.objects(FolderObjectStore(repo.inner))
        verifier.refs(repo.refs)
        assert verifier.findings.sound
    after = sorted((p, p.stat().st_mtime_ns) for p in place.top.rglob("*") if p.is_file() and p.name != "lock")
    assert [p for p in after if "depths" not in p[0].name] == [p for p in before if "depths" not in p[0].name]


def _with(state: TableState, **fields: object) -> TableState:
    every = {name: getattr(state, name) for name in state.__struct_fields__}
    return TableState(**{**every, **fields})  # type: ignore[arg-type]


def _commit(session: Session, tree: Tree, state: TableState) -> ObjectId:
    lying = Tree({**tree.tables, "item": state}, {}, database=tree.database)
    return session.commits.add(lying, (Parent(session.need_head(), BRANCH),), Stamp("one", "a", "t"), "a lie")
