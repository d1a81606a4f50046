"""A change of every row of a table costs no memory in proportion to the table: in diff, merge and apply."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROWS = 600_000
LIMITS_MB = {"diff": 230, "merge": 440, "apply": 300}
"""With all changes in memory they take 260, 670 and 400; with five times the rows no more than with these."""

CHILD = """
import datetime, sqlite3, sys, time
from pathlib import Path
import numpy as np
import pyarrow as pa
from prontosync.disk.repository import create, find
from prontosync.engine.arrow import arrow_schema
from prontosync.history.commits import Tree
from prontosync.history.disputes import Origin
from prontosync.history.merge import MergeTerms, Sides, merge_trees
from prontosync.model.names import RefName
from prontosync.model.objects import Parent
from prontosync.sources.locate import locate
from prontosync.tables.states import store_rows
from prontosync.workflow.apply import plan_apply, write_live
from prontosync.workflow.diff import Diff
from prontosync.workflow.session import Session, World
from prontosync.workflow.states import State

top, action, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
BASE, PRICED, MOVED = RefName("stores/012"), RefName("priced"), RefName("moved")
CHUNK = 50_000
CONFIG = f'[source]\\nurl = "{top}/pos.db"\\n[store]\\nname = "012"\\n'
CREATE = "CREATE TABLE sales (id INTEGER PRIMARY KEY, product INTEGER, price DECIMAL(10,2), note TEXT, at TIMESTAMP)"
FILL = f'''WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i + 1 < {count})
    INSERT INTO sales SELECT i, i % 5003, (i % 10000) * 1.0, 'ticket line ' || (i % 997),
    strftime('%Y-%m-%d %H:%M:%S', i, 'unixepoch') FROM c'''

def rows(schema, product, price):
    for start in range(0, count, CHUNK):
        ids = np.arange(start, min(start + CHUNK, count), dtype=np.int64)
        notes = np.char.add("ticket line ", (ids % 997).astype(str))
        columns = [ids, ids % 5003 + product, ids % 10_000 + price, notes, (ids * 1_000_000).astype("M8[us]")]
        arrays = [pa.array(c).cast(pa.decimal128(21, 2) if f.name == "price" else f.type).cast(f.type)
                  for c, f in zip(columns, arrow_schema(schema))]
        yield pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(schema))

def make(world):
    with sqlite3.connect(top / "pos.db") as till:
        till.execute("PRAGMA journal_mode = WAL")
        till.execute(CREATE)
        till.execute(FILL)
    with Session(create(top, CONFIG, BASE), world) as session, session.repo.objects.batch():
        with session.need_source().read() as live:
            table, database = live.describe("sales"), live.database
        head = None
        for branch, product, price in ((BASE, 0, 0), (PRICED, 0, 1), (MOVED, 1, 0)):
            state = store_rows(session.repo.objects, session.engine, "sales", table.schema, table.ddl,
                               rows(table.schema, product, price), True).state
            parents = (Parent(head, BASE),) if head else ()
            commit = session.commits.add(Tree({"sales": state}), parents, session.stamp(), "")
            head = head or commit
            session.advance(branch, commit)

def diff(session, tree):
    sides = [State(name, tree[name], session.repo.objects, None) for name in (BASE, PRICED)]
    ((counts),) = [found.counts for found in Diff(session, *sides).tables()]
    return counts.updated

def merge(session, tree):
    here = Origin("a", "b", "", "")
    with session.repo.objects.batch():
        sides = Sides(tree[BASE], tree[MOVED], tree[PRICED], here, here)
        return merge_trees(session.merge_store, session.engine, sides, MergeTerms()).counts["sales"].merged

def apply(session, tree):
    before, after = (session.repo.refs.target(name) for name in (BASE, PRICED))
    plan = plan_apply(session, before, tree[PRICED])
    write_live(session, before, after, plan)
    return plan.counts["sales"].updated

world = World(top, lambda: datetime.datetime(2026, 11, 24, 8, tzinfo=datetime.UTC), "test")
began = time.monotonic()
if action == "make":
    make(world)
else:
    with Session(find(top), world) as session:
        tree = {name: session.commits.tree(session.repo.refs.target(name)) for name in (BASE, PRICED, MOVED)}
        assert {"diff": diff, "merge": merge, "apply": apply}[action](session, tree) == count
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) // 1024, round(time.monotonic() - began, 1))
"""


def resident(folder: Path, action: str, rows: int = ROWS) -> tuple[int, float]:
    """MB at most, and seconds."""
    command = [sys.executable, "-c", CHILD, str(folder), action, str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=3_000)
    size, seconds = done.stdout.split()
    return int(size), float(seconds)


def test_a_change_of_every_row_streams(tmp_path: Path) -> None:
    resident(tmp_path, "make")
    found = {action: resident(tmp_path, action)[0] for action in LIMITS_MB}
    assert {action: size for action, size in found.items() if size > LIMITS_MB[action]} == {}


if __name__ == "__main__":
    for wanted in ("make", *LIMITS_MB):
        print(wanted, resident(Path(sys.argv[1]), wanted, int(sys.argv[2])))
