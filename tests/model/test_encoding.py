"""Canonical JSON: one value, one encoding; everything else is refused, in our own words."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prontosync.errors import Damaged, ProntoError, RepositoryError
from prontosync.model.encoding import MAX_OBJECT_BYTES, MalformedObject, NewerFormat, decode, encode
from prontosync.model.ids import is_object_id, object_id
from prontosync.model.objects import (
    Changes,
    Commit,
    Format,
    Parent,
    RefRecord,
    TableState,
    decode_commit,
    decode_record,
    encode_object,
)
from prontosync.model.schema import Column, DatabaseDdl, Ddl, ForeignKey, TableSchema

KINDS: tuple[Any, ...] = (Commit, RefRecord, TableSchema, Ddl, DatabaseDdl, Format)

ids = st.binary(min_size=1, max_size=8).map(object_id)
texts = st.text(max_size=8)
names = st.lists(texts, max_size=3).map(tuple)
counts = st.integers(0, 2**40)
states = st.builds(
    TableState,
    schema=ids,
    ddl=ids,
    rows=counts,
    digest=st.none() | ids,
    checkpoint=ids,
    patches=st.lists(ids, max_size=3).map(tuple),
    changes=st.builds(Changes, counts, counts, counts),
)
commits = st.builds(
    Commit,
    parents=st.lists(st.builds(Parent, commit=ids, branch=texts), min_size=1, max_size=2).map(tuple),
    tables=st.dictionaries(texts, states, max_size=3),
    dropped=names,
    full=st.booleans(),
    conflicts=st.dictionaries(texts, ids, max_size=2),
    database=st.none() | ids,
    store=texts,
    author=texts,
    time=texts,
    message=texts,
    merge=st.booleans(),
    policy=st.none() | ids,
    requires=st.just(()),
    signature=st.none() | texts,
)
records = st.builds(
    RefRecord,
    hub=texts,
    ref=texts,
    generation=st.integers(2, 2**40),
    previous=ids,
    old=st.none() | ids,
    new=st.none() | ids,
    store=texts,
    time=texts,
    nonce=texts,
    requires=st.just(()),
    signature=st.none() | texts,
)
schemas = st.builds(
    TableSchema,
    columns=st.lists(st.builds(Column, texts, texts), max_size=3).map(tuple),
    key=names,
    foreign_keys=st.lists(st.builds(ForeignKey, names, texts, names), max_size=2).map(tuple),
    uniques=st.lists(names, max_size=2).map(tuple),
    checks=names,
    requires=st.just(()),
)
strings = st.dictionaries(texts, texts, max_size=2)
ddls = st.builds(
    Ddl, dialect=texts, statements=names, declared=strings, forms=strings, generated=names, requires=st.just(())
)
values = st.one_of(commits, records, schemas, ddls)


def read(data: bytes, kind: Any) -> Any:
    return {Commit: decode_commit, RefRecord: decode_record}.get(kind, lambda raw: decode(raw, kind))(data)


@settings(max_examples=150)
@given(value=values)
def test_what_was_encoded_comes_back(value: Any) -> None:
    identity, data = encode_object(value)
    assert read(data, type(value)) == value
    assert is_object_id(identity)
    assert encode(read(data, type(value))) == data


@settings(max_examples=100)
@given(value=values)
def test_the_order_of_entries_does_not_matter(value: Any) -> None:
    plain = msgspec.json.decode(encode(value))
    assert encode(reverse(plain)) == encode(value)


def reverse(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {name: reverse(plain[name]) for name in reversed(plain)}
    return [reverse(item) for item in plain] if isinstance(plain, list) else plain


@settings(max_examples=300)
@given(value=values, seed=st.integers(0, 2**32))
def test_changed_bytes_are_refused_or_say_something_else(value: Any, seed: int) -> None:
    data = bytearray(encode(value))
    rng = random.Random(seed)
    at = rng.randrange(len(data))
    data[at : at + rng.randrange(2)] = rng.choice([b"", b" ", b'"', b"{", b"\xff", b"1", b",", b"1e5", b"null", b"\0"])
    try:
        found = read(bytes(data), type(value))
    except (Damaged, RepositoryError):
        return
    assert encode(found) == bytes(data)


@settings(max_examples=200)
@given(data=st.binary(max_size=60) | st.text(max_size=60).map(str.encode), kind=st.sampled_from(KINDS))
def test_arbitrary_bytes(data: bytes, kind: Any) -> None:
    with pytest.raises(Damaged):
        read(data, kind)


@settings(max_examples=200)
@given(
    plain=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["kind", "requires", "x"]), inner),
        max_leaves=8,
    ),
    kind=st.sampled_from(KINDS),
)
def test_arbitrary_json(plain: Any, kind: Any) -> None:
    try:
        read(msgspec.json.encode(plain), kind)
    except ProntoError as error:
        refused: ProntoError | None = error
    else:
        refused = None
    assert refused is None or isinstance(refused, Damaged | RepositoryError)


GOOD = encode(Format(1, "r"))


@pytest.mark.parametrize(
    "data",
    [
        b'{"format": 1,"repository":"r"}',
        b'{"repository":"r","format":1}',
        b'{"format":1.0,"repository":"r"}',
        b'{"format":1,"format":1,"repository":"r"}',
        b'{"format":1,"repository":"r","more":1}',
        b'{"format":1,"repository":"\\u0072"}',
        b'{"format":01,"repository":"r"}',
        b'{"format":"1","repository":"r"}',
        b'{"format":true,"repository":"r"}',
        b'{"format":1}',
        b"\xef\xbb\xbf" + GOOD,
        GOOD + b"\n",
        GOOD + GOOD,
        GOOD.replace(b'"r"', b'"\\ud800"'),
        GOOD.replace(b'"r"', b'"\xff"'),
        b"[" * 100_000,
        b'{"requires":' * 50_000,
        b'{"format":' + b"9" * 5_000 + b',"repository":"r"}',
    ],
)
def test_one_value_has_one_encoding(data: bytes) -> None:
    assert decode(GOOD, Format) == Format(1, "r")
    with pytest.raises(MalformedObject) as caught:
        decode(data, Format)
    assert caught.value.exit == 14


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", [b'{"kind":"commit","new":1,"requires":["shards"]}', b'{"requires":["a","shards"]}'])
def test_what_a_newer_version_wrote(data: bytes, kind: Any) -> None:
    with pytest.raises(NewerFormat, match="shards") as caught:
        read(data, kind)
    assert caught.value.exit == 10
    assert caught.value.hint == "upgrade prontosync on this machine"


@pytest.mark.parametrize("needs", [b"[{}]", b"[[]]", b"[1]", b"{}", b"null", b"[null]", b'"x"', b"[]"])
def test_needs_that_are_no_names(needs: bytes) -> None:
    with pytest.raises(MalformedObject):
        decode_commit(b'{"requires":%b}' % needs)


def commit(**fields: Any) -> Commit:
    state = TableState(object_id(b"s"), object_id(b"d"), 1, None, object_id(b"c"), (), Changes(1, 0, 0))
    whole = Commit((), {"t": state}, (), True, {}, None, "012", "a", "t", "m", False, None, (), None)
    return msgspec.structs.replace(whole, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"full": False},
        {"database": "nothing"},
        {"policy": "F" * 64},
        {"conflicts": {"t": "../../etc/passwd"}},
        {"parents": (Parent("short", "main"),)},  # type: ignore[arg-type]
        {"tables": {"t": TableState("x", "y", 1, None, "z", (), Changes(0, 0, 0))}},  # type: ignore[arg-type]
        {"tables": {"t": msgspec.structs.replace(commit().tables["t"], rows=-1)}},
        {"tables": {"t": msgspec.structs.replace(commit().tables["t"], changes=Changes(0, -1, 0))}},
        {"tables": {"t": msgspec.structs.replace(commit().tables["t"], patches=("x",))}},
        {"tables": {"t": msgspec.structs.replace(commit().tables["t"], digest="x")}},
    ],
)
def test_commits_that_cannot_be(fields: dict[str, Any]) -> None:
    assert decode_commit(encode(commit())) == commit()
    with pytest.raises(MalformedObject):
        decode_commit(encode(commit(**fields)))


@pytest.mark.parametrize(
    "fields",
    [
        {"generation": 0},
        {"generation": -1},
        {"generation": 1},
        {"previous": None},
        {"new": "x"},
        {"old": ""},
        {"previous": "0" * 63 + "g"},
    ],
)
def test_records_that_cannot_be(fields: dict[str, Any]) -> None:
    identity = object_id(b"x")
    good = RefRecord("h", "main", 2, identity, identity, identity, "012", "t", "n", (), None)
    assert decode_record(encode(good)) == good
    with pytest.raises(MalformedObject):
        decode_record(encode(msgspec.structs.replace(good, **fields)))


_CHILD = """
from prontosync.errors import Damaged
from prontosync.model.objects import decode_commit
from prontosync.model.encoding import MAX_OBJECT_BYTES
import sys
data = {
    "long": b'{"requires":[' + b'[],' * (MAX_OBJECT_BYTES // 3 - 20) + b'0]}',
    "names": b'{"dropped":[' + b'"",' * (MAX_OBJECT_BYTES // 3 - 20) + b'""],"requires":[]}',
    "numbers": b'{"x":[' + b'1,' * (MAX_OBJECT_BYTES // 2 - 20) + b'1]}',
    "too long": bytes(MAX_OBJECT_BYTES + 1),
}[sys.argv[1]]
try:
    decode_commit(data)
except Damaged:
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(int(peak.split()[1]) // 1024)
"""


@pytest.mark.parametrize("kind", ["long", "names", "numbers", "too long"])
def test_the_largest_nonsense_takes_little_memory(kind: str) -> None:
    done = subprocess.run([sys.executable, "-c", _CHILD, kind], capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) < 300


def test_no_object_is_larger_than_its_limit() -> None:
    with pytest.raises(MalformedObject, match="larger"):
        decode(bytes(MAX_OBJECT_BYTES + 1), Format)
