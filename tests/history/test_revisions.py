"""Every way of naming a commit, and what happens where a name says too little or too much."""

from __future__ import annotations

import datetime
import zoneinfo
from contextlib import suppress
from pathlib import Path

import pytest

from prontosync.disk.objects import FolderObjectStore
from prontosync.disk.refs import FolderRefs, Mover
from prontosync.history.ancestry import Ancestry
from prontosync.history.commits import Commits
from prontosync.history.revisions import (
    AmbiguousRevision,
    BadRevision,
    Moment,
    Revisions,
    UnknownRevision,
    parse_moment,
)
from prontosync.model.ids import ObjectId
from prontosync.model.names import RefName
from prontosync.model.objects import Commit, Parent, encode_object

NOW = datetime.datetime(2026, 11, 24, 3, 30, tzinfo=datetime.UTC)
MEXICO = zoneinfo.ZoneInfo("America/Mexico_City")
TIMES = [f"2026-11-{day}T{hour}:00:00Z" for day, hour in ((20, "12"), (21, "12"), (22, "05"), (22, "07"), (23, "20"))]


class Place:
    """A line of five commits on ``stores/012``, a merge on ``main`` whose second parent is the third of them."""

    def __init__(self, top: Path) -> None:
        self.store, self.refs = FolderObjectStore(top), FolderRefs(top, "hub")
        self.line: list[ObjectId] = []
        for number, time in enumerate(TIMES):
            self.line.append(self._commit(time, [self.line[-1]] if self.line else [], str(number)))
            self._move("stores/012", self.line[-1])
        self.boundary = ObjectId("e" * 64)
        self.merge = self._commit("2026-11-23T21:00:00Z", [self.line[0], self.line[2], self.boundary], "m")
        for ref, target in (("main", self.merge), ("office/main", self.line[1]), ("tags/v1", self.line[0])):
            self._move(ref, target)

    def revisions(self, zone: datetime.tzinfo | None = datetime.UTC) -> Revisions:
        ancestry = Ancestry(Commits(self.store))
        return Revisions(self.refs, ancestry, RefName("stores/012"), Moment(lambda: NOW, zone))

    def resolve(self, text: str, zone: datetime.tzinfo | None = datetime.UTC) -> ObjectId:
        return self.revisions(zone).resolve(text)

    def _commit(self, time: str, parents: list[ObjectId], message: str) -> ObjectId:
        named = tuple(Parent(parent, "stores/012") for parent in parents)
        content = Commit(named, {}, (), True, {}, None, "012", "a", time, message, False, None, (), None)
        return self.store.add(encode_object(content)[1], "json").id

    def _move(self, ref: str, target: ObjectId | None) -> None:
        name = RefName(ref)
        self.refs.advance_if_at(name, self.refs.read(name), target, Mover("012", TIMES[0]))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("place"))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("HEAD", 4), ("", 4), ("stores/012", 4), ("~", 3), ("HEAD~2", 2), ("stores/012~4", 0), ("HEAD~0", 4),
        ("HEAD^", 3),
        ("HEAD^^", 2), ("HEAD^1~1", 2), ("HEAD^0", 4), ("office/main", 1), ("v1", 0), ("tags/v1", 0), ("main^2", 2),
        ("main~", 0), ("main^2~2", 0), ("@{0}", 4), ("@{1}", 3), ("stores/012@{4}", 0), ("@{1}~1", 2), ("HEAD@{2}", 2),
        ("v1@{0}", 0), ("@{2026-11-22}", 3), ("@{2026-11-22T06:00}", 2), ("@{2026-11-22T06:00:00Z}", 2),
        ("@{2026-11-22T06:00-06:00}", 3), ("@{2026-11-21}", 1), ("@{yesterday}", 4), ("@{now}", 4), ("@{today}", 4),
        ("@{2 days ago}", 1), ("@{2.days.ago}", 1), ("@{1 week ago}~0", None), ("HEAD~1@{2026-11-21}", 1),
        ("@{9999-12-31}", 4),
    ],
)  # fmt: skip
def test_names(place: Place, text: str, number: int | None) -> None:
    if number is None:
        with pytest.raises(UnknownRevision):
            place.resolve(text)
    else:
        assert place.resolve(text) == place.line[number]


def test_ids(place: Place) -> None:
    for identity in (*place.line, place.merge):
        assert place.resolve(identity) == identity
        assert place.resolve(identity[:12]) == identity
        assert place.resolve(identity[:8] + "~0") == identity


@pytest.mark.parametrize(
    "text",
    ["nothing", "stores/013", "HEAD~5", "HEAD^3", "main^3", "main^4", "@{5}", "main@{9}", "nothing@{0}",
    "0" * 64, "0" * 8,
     "@{2026-11-19}", "@{0001-01-01}", "abc", "v1@{1}", "@{999999999999}"],
)  # fmt: skip
def test_what_is_not_there_is_17(place: Place, text: str) -> None:
    with pytest.raises(UnknownRevision) as unknown:
        place.resolve(text)
    assert unknown.value.exit == 17
    assert unknown.value.hint or unknown.value.message


@pytest.mark.parametrize(
    "text",
    ["HEAD~x", "HEAD@{", "HEAD@{}", "@{soon}", "@{2026-13-01}", "@{2026-11-22T25:00}", "HEAD^{commit}", "~~@",
    "@{14:00}",
     "@{999999999999 days ago}", "@{99999999999 weeks ago}", "HEAD~1@{1}"],
)  # fmt: skip
def test_what_is_not_understood_is_2(place: Place, text: str) -> None:
    with pytest.raises(BadRevision) as bad:
        place.resolve(text)
    assert bad.value.exit == 2


def test_an_object_that_is_no_commit_is_not_a_revision(place: Place) -> None:
    other = place.store.add(b'{"some":"json"}', "json").id
    for text in (other, other[:8]):
        with pytest.raises(UnknownRevision):
            place.resolve(text)


def test_a_prefix_of_two_commits_names_both(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    revisions = place.revisions()
    monkeypatch.setattr(revisions, "_ids_like", lambda prefix: iter(place.line[:2]))
    with pytest.raises(AmbiguousRevision, match=place.line[0]) as ambiguous:
        revisions.resolve("abcdef01")
    assert place.line[1] in ambiguous.value.message
    assert ambiguous.value.exit == 2


def test_a_day_ends_where_the_store_is(place: Place) -> None:
    assert place.resolve("@{2026-11-21}", MEXICO) == place.line[2]
    assert place.resolve("@{2026-11-21}") == place.line[1]
    assert place.resolve("@{yesterday}", MEXICO) == place.line[3]
    assert place.resolve("@{today}", MEXICO) == place.line[4]


def test_a_deleted_branch_is_unknown_and_its_log_is_not(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place._move("office/main", None)
    with pytest.raises(UnknownRevision):
        place.resolve("office/main")
    assert place.resolve("office/main@{1}") == place.line[1]
    with pytest.raises(UnknownRevision):
        place.resolve("office/main@{0}")


@pytest.mark.parametrize("zone", [datetime.UTC, MEXICO, zoneinfo.ZoneInfo("Pacific/Kiritimati"), None])
@pytest.mark.parametrize(
    "text", ["0001-01-01", "9999-12-31", "0001-01-01T00:00", "9999-12-31T23:59:59.999999", "2026-03-29T02:30"]
)
def test_the_ends_of_time_do_no_harm(place: Place, zone: datetime.tzinfo | None, text: str) -> None:
    for asked in (f"@{{{text}}}", f"@{{{text}+14:00}}", f"@{{{text}-14:00}}"):
        with suppress(BadRevision, UnknownRevision):
            place.resolve(asked, zone)


def test_moments_are_aware(place: Place) -> None:
    for zone in (datetime.UTC, MEXICO, None):
        for text in ("now", "today", "2026-11-22", "2026-11-22T06:00", "3 hours ago"):
            assert parse_moment(text, Moment(lambda: NOW, zone)).tzinfo is not None


def test_ref_of_names_branches_only(place: Place) -> None:
    revisions = place.revisions()
    assert revisions.ref_of("HEAD") == "stores/012"
    assert revisions.ref_of("office/main") == "office/main"
    assert revisions.ref_of("v1") is None
    assert revisions.ref_of("main~1") is None
