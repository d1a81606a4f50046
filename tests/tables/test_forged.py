"""Parquet that no writer of ours makes is refused before it can do harm. Each case runs in a process of its own."""

from __future__ import annotations

import io
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prontosync.disk.objects import MemoryObjectStore
from prontosync.errors import Damaged
from prontosync.model.schema import Column, TableSchema
from prontosync.tables import parquet
from prontosync.tables.layout import Segment, read_checkpoint, write_checkpoint
from prontosync.tables.patch import newest_changes, patch_schema, read_patch

SCHEMA = TableSchema((Column("id", "int64"), Column("v", "text")), ("id",))
PLAIN = pa.schema([("id", pa.int64()), ("v", pa.string())])


def raw(table: pa.Table, **settings: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **settings)
    return sink.getvalue()


def rows(**columns: object) -> bytes:
    return raw(pa.table(columns))


@pytest.mark.parametrize(
    "data",
    [
        rows(id=pa.array([1.5]), v=["x"]),
        rows(id=pa.array([1], pa.int32()), v=["x"]),
        rows(id=pa.array([["x"]]), v=["x"]),
        rows(id=pa.array([1]), v=pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())),
        rows(id=pa.array([{"id": 1}]), v=["x"]),
        raw(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["id", "id"])),
        b"",
        b"PAR1",
        b"PAR1" + b"\xff\xff\xff\x7f" + b"PAR1",
        b"PAR1" + b"\0" * 50 + (2**31 - 1).to_bytes(4, "little") + b"PAR1",
    ],
)
def test_other_types_and_no_file_at_all(data: bytes) -> None:
    with pytest.raises(Damaged):
        parquet.decode(data, PLAIN)


def test_another_count_than_announced() -> None:
    with pytest.raises(Damaged, match="1 rows where 2 were announced"):
        parquet.decode(rows(id=[1], v=["x"]), PLAIN, rows=2)


def test_columns_that_a_file_lacks_are_null_and_others_are_left() -> None:
    table = parquet.decode(rows(id=[1, 2], other=["x", "y"]), PLAIN)
    assert table.to_pylist() == [{"id": 1, "v": None}, {"id": 2, "v": None}]
    assert parquet.decode(rows(other=["x", "y"]), PLAIN).num_rows == 2
    assert parquet.decode(rows(id=[1, 2], v=["a", "b"]), PLAIN, columns=["v"]).column_names == ["v"]


@pytest.mark.parametrize("change", ["drop", "", None])
def test_a_patch_of_unknown_changes(change: str | None) -> None:
    store = MemoryObjectStore()
    table = pa.table({"id": [1], "v": ["x"], "_ps_change": pa.array([change], pa.string())})
    with pytest.raises(Damaged):
        read_patch(store, SCHEMA, store.add(raw(table), "parquet").id)


def test_a_patch_without_a_key() -> None:
    store = MemoryObjectStore()
    table = pa.table({"id": [None], "v": ["x"], "_ps_change": ["upsert"]}, schema=patch_schema(SCHEMA))
    with pytest.raises(Damaged):
        read_patch(store, SCHEMA, store.add(raw(table), "parquet").id)


def segment(first: int, count: int = 1, size: int = 9) -> Segment:
    return Segment((first,), count, "ab" * 32, "cd" * 32, size)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "segments",
    [
        [segment(2), segment(1)],
        [segment(1), segment(1)],
        [segment(1, 0)],
        [segment(1, -4)],
        [segment(1, 16_385)],
        [segment(1, 1, 0)],
        [segment(1), segment(2), segment(3)],
        [segment(1)],
    ],
)
def test_a_checkpoint_that_cannot_be(segments: list[Segment]) -> None:
    store = MemoryObjectStore()
    identity = write_checkpoint(store, SCHEMA, segments)
    with pytest.raises(Damaged):
        read_checkpoint(store, SCHEMA, identity, rows=2)


def test_a_checkpoint_with_a_key_beyond_all_calendars() -> None:
    store = MemoryObjectStore()
    schema = TableSchema((Column("at", "timestamp"),), ("at",))
    good = write_checkpoint(store, TableSchema((Column("at", "int64"),), ("at",)), [segment(2**62)])
    table = pq.read_table(io.BytesIO(store.read(next(iter(store.names())))))
    table = table.set_column(0, "at", table.column(0).cast(pa.timestamp("us")))
    forged = store.add(parquet.encode(table, "checkpoint"), "parquet").id
    assert forged != good
    with pytest.raises(Damaged):
        read_checkpoint(store, schema, forged)


_CHILD = """
import pyarrow as pa, pyarrow.parquet as pq
from prontosync.errors import Damaged
from prontosync.tables import parquet
{prepare}
try:
    parquet.decode(data, pa.schema([("id", pa.int64()), ("v", pa.binary())]))
except Damaged:
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print("refused", int(peak.split()[1]) // 1024)
"""
_BOMB = """
data = open({path!r}, "rb").read()
"""


def bomb(kind: str) -> bytes:
    blobs = pa.table({"id": range(4), "v": [bytes(20 << 20)] * 4})
    plain = {"compression": "zstd", "use_dictionary": False, "write_statistics": False}
    if kind == "ratio":
        return raw(blobs, **plain)
    if kind == "many groups":
        return raw(blobs, **plain, row_group_size=1)
    if kind == "wide":
        one = pa.array([bytes(1 << 20)] * 60, pa.binary(1 << 20))
        return raw(pa.table({"id": range(60), "v": one}), compression="zstd")
    footer = b"\x15\x02\x19\xfc\xff\xff\xff\xff\x07" * 100
    return b"PAR1" + bytes(1_000) + footer + (900).to_bytes(4, "little") + b"PAR1"


@pytest.mark.parametrize("kind", ["ratio", "many groups", "wide", "footer"])
def test_a_bomb_is_refused_in_little_memory(kind: str, tmp_path: object) -> None:
    path = f"{tmp_path}/bomb"
    data = bomb(kind)
    assert len(data) < 100_000
    with open(path, "wb") as file:
        file.write(data)
    code = _CHILD.format(prepare=_BOMB.format(path=path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    word, resident = done.stdout.split()
    assert word == "refused"
    assert int(resident) < 300


def test_a_patch_with_two_changes_of_one_row() -> None:
    twins = pa.table({"id": [1, 1], "v": ["x", "y"], "_ps_change": ["upsert", "upsert"]}, schema=patch_schema(SCHEMA))
    with pytest.raises(Damaged, match="two changes"):
        newest_changes(SCHEMA, [twins])
