"""A snapshot streams: what it holds in memory does not grow with the table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROWS = 1_200_000
LIMIT_MB = 400

CHILD = """
import sys, time
from pathlib import Path
import numpy as np
import pyarrow as pa
from prontosync.disk.objects import FolderObjectStore
from prontosync.engine.arrow import arrow_schema
from prontosync.engine.connection import STREAMING_MEMORY, Engine
from prontosync.model.schema import Column, Ddl, TableSchema
from prontosync.tables.states import store_rows

top, count, ordered = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "ordered"
CHUNK = 50_000
schema = TableSchema(
    (Column("id", "int64"), Column("product", "int64"), Column("price", "decimal(10,2)"), Column("note", "text"),
     Column("at", "timestamp")), ("id",))

def batches():
    chunks = np.arange(0, count, CHUNK)
    rng = np.random.default_rng(1)
    if not ordered:
        rng.shuffle(chunks)
    for start in chunks:
        ids = np.arange(start, min(start + CHUNK, count), dtype=np.int64)
        if not ordered:
            rng.shuffle(ids)
        plain = pa.array(ids)
        columns = [
            plain,
            pa.array(ids * 7919 % 5003),
            pa.array(ids % 10_000).cast(pa.decimal128(21, 2)).cast(pa.decimal128(10, 2)),
            pa.array(np.char.add("ticket line ", (ids % 997).astype(str))),
            pa.array(ids * 1_000_000).cast("timestamp[us]"),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=arrow_schema(schema))

began = time.monotonic()
store = FolderObjectStore(top)
(top / "tmp").mkdir(parents=True)
with Engine(spill=top / "tmp", memory=STREAMING_MEMORY) as engine, store.batch():
    state = store_rows(store, engine, "sales", schema, Ddl("sqlite", ()), batches(), ordered).state
assert state.rows == count
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024, round(time.monotonic() - began, 1), state.digest)
"""


def resident(folder: Path, rows: int, order: str) -> tuple[int, float, str]:
    """MB at most, seconds and the digest of keeping a generated table of so many rows."""
    command = [sys.executable, "-c", CHILD, str(folder), str(rows), order]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=3_000)
    size, seconds, digest = done.stdout.split()
    return int(size), float(seconds), digest


def test_a_snapshot_streams(tmp_path: Path) -> None:
    found = {order: resident(tmp_path / order, ROWS, order) for order in ("ordered", "shuffled")}
    assert found["ordered"][2] == found["shuffled"][2]
    assert max(size for size, _, _ in found.values()) < LIMIT_MB


if __name__ == "__main__":
    for wanted in ("ordered", "shuffled"):
        print(wanted, resident(Path(sys.argv[1]) / wanted, int(sys.argv[2]), wanted))
