"""The changed rows alone, as plain Parquet files with zstd: what a day's changes come to without any bookkeeping.

Run as a program it compares two databases and prints rows and bytes as JSON: ``python -m tests.benchmarks.bare OLD NEW
FOLDER``; or it makes the day's syncs in one database and prints the bytes of each: ``… day SHOP FOLDER SYNCS EDIT``.
"""

from __future__ import annotations

import decimal
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.benchmarks.command import module
from tests.benchmarks.edits import Edit, clock
from tests.benchmarks.till import keys_of

CENT = decimal.Decimal("0.01")


def bare_size(old: Path, new: Path, folder: Path) -> tuple[int, int]:
    """How many rows differ between two databases, and the bytes of the files that hold them, a file a table."""
    rows, size = _ask(old, new, folder)
    return rows, size


def bare_day(shop: Path, folder: Path, syncs: int, edit: str) -> list[int]:
    """The bytes of each sync's changed rows, a file a table."""
    return _ask("day", shop, folder, str(syncs), edit)


def _ask(*words: str | Path) -> list[int]:
    """In a process of its own, which takes the memory that it took with it."""
    command = module("tests.benchmarks.bare", *words)
    done = subprocess.run(command.words, env=dict(command.environment), check=True, capture_output=True)
    answer: list[int] = json.loads(done.stdout)
    return answer


def _compare(old: Path, new: Path, folder: Path) -> tuple[int, int]:
    folder.mkdir(exist_ok=True)
    counts, sizes = 0, 0
    with closing(sqlite3.connect(new)) as db:
        db.execute("ATTACH ? AS old", (str(old),))
        for table, key in keys_of(new).items():
            written = f"SELECT * FROM (SELECT * FROM main.{table} EXCEPT SELECT * FROM old.{table}) ORDER BY {key}"
            gone = f"SELECT {key} FROM old.{table} EXCEPT SELECT {key} FROM main.{table} ORDER BY {key}"
            for name, question in ((table, written), (f"{table}-gone", gone)):
                rows, size = _write(db, table, question, (), folder / f"{name}.parquet")
                counts, sizes = counts + rows, sizes + size
    return counts, sizes


def _day(shop: Path, folder: Path, syncs: int, edit: str) -> list[int]:
    folder.mkdir(exist_ok=True)
    sizes = []
    with closing(sqlite3.connect(shop, isolation_level=None)) as db:
        for number in range(syncs):
            Edit(edit, number).make(db)
            size = 0
            for table, column in (("sale_line", "sold_at"), ("inventory", "moved")):
                question = f"SELECT * FROM {table} WHERE {column} BETWEEN ? AND ? ORDER BY 1"
                during = clock(number), clock(number, 299)
                size += _write(db, table, question, during, folder / "sync.parquet")[1]
            sizes.append(size)
    return sizes


def _write(db: sqlite3.Connection, table: str, question: str, values: tuple[Any, ...], path: Path) -> tuple[int, int]:
    """Rows and bytes; no rows need no file."""
    import pyarrow as pa
    from pyarrow import parquet

    cursor = db.execute(question, values)
    names = [column[0] for column in cursor.description]
    rows = cursor.fetchall()
    if not rows:
        return 0, 0
    kinds = dict(db.execute(f"SELECT name, type FROM pragma_table_info('{table}')").fetchall())
    columns = [_column(kinds[name], list(values)) for name, values in zip(names, zip(*rows, strict=True), strict=True)]
    plain = {"compression": "zstd", "compression_level": 3, "write_statistics": False, "store_schema": False}
    parquet.write_table(pa.table(columns, names=names), path, **plain)
    return len(rows), path.stat().st_size


def _column(kind: str, values: list[Any]) -> Any:
    """By the declared type; text that holds times only is written as times."""
    import pyarrow as pa
    from pyarrow import compute

    if kind.startswith("DECIMAL"):
        exact = [None if value is None else decimal.Decimal(str(value)).quantize(CENT) for value in values]
        return pa.array(exact, pa.decimal128(10, 2))
    if kind == "INTEGER":
        return pa.array(values, pa.int64())
    texts = pa.array(values, pa.string())
    if compute.all(compute.match_substring_regex(texts, r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$")).as_py():
        return compute.strptime(texts, format="%Y-%m-%d %H:%M:%S", unit="us")
    return texts


def main(words: list[str]) -> None:
    if words[0] == "day":
        print(json.dumps(_day(Path(words[1]), Path(words[2]), int(words[3]), words[4])))
    else:
        print(json.dumps(_compare(*(Path(word) for word in words))))


if __name__ == "__main__":
    main(sys.argv[1:])
