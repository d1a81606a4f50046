"""Rows that refer to no row: violations of foreign keys that are in the data already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa

from prontosync.engine.connection import Engine, quoted
from prontosync.history.contested import foreign_keys, places_of
from prontosync.history.holders import Place
from prontosync.model.schema import ForeignKey
from prontosync.tables.columns import columns_of
from prontosync.tables.reader import StoredTable

_AT_ONCE = 8 << 20
"""Bytes of a child's columns that one query looks through; of a parent, its columns are in memory as a whole."""


def orphans(engine: Engine, tables: Mapping[str, StoredTable]) -> dict[tuple[str, ForeignKey], int]:
    """For each table and foreign key how many rows have no parent, where there are any.

    NULL refers to nothing; a key whose parent table is not there is left out. Only the columns concerned are read.
    """
    found = {}
    for name in tables:
        for key in foreign_keys(tables, name):
            count = _count(engine, *places_of(tables, name, key))
            if count:
                found[name, key] = count
    return found


def _count(engine: Engine, child: Place, parent: Place) -> int:
    if child.table.state.rows == 0:
        return 0
    query = f"SELECT DISTINCT {_formed(parent)} FROM _ps_p WHERE {_given(parent)}"
    held = engine.table(query, _ps_p=_whole(parent))
    query = (
        f"SELECT count(*) AS n FROM (SELECT {_formed(child)} FROM _ps_c WHERE {_given(child)})"
        f" ANTI JOIN _ps_p USING ({child.values})"
    )
    return sum(engine.rows(query, _ps_c=rows, _ps_p=held)[0][0] for rows in _pieces(child))


def _whole(place: Place) -> pa.Table:
    return pa.concat_tables([_none(place), *columns_of(place.table, _columns(place))])


def _pieces(place: Place) -> Iterator[pa.Table]:
    pieces: list[pa.Table] = []
    size = 0
    for rows in columns_of(place.table, _columns(place)):
        pieces.append(rows)
        size += rows.nbytes
        if size >= _AT_ONCE:
            yield pa.concat_tables(pieces)
            pieces, size = [], 0
    if pieces:
        yield pa.concat_tables(pieces)


def _columns(place: Place) -> list[str]:
    return list(dict.fromkeys(place.columns))


def _none(place: Place) -> pa.Table:
    return pa.schema([place.table.arrow.field(name) for name in _columns(place)]).empty_table()


def _formed(place: Place) -> str:
    pairs = zip(place.columns, place.forms, strict=True)
    return ", ".join(f"{form(quoted(name))} AS v{i}" for i, (name, form) in enumerate(pairs))


def _given(place: Place) -> str:
    return " AND ".join(f"{quoted(name)} IS NOT NULL" for name in place.columns)
