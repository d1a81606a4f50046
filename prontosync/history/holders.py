"""Which rows of a table hold given values, where the columns that hold them need not be its key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from prontosync.engine.arrow import arrow_schema
from prontosync.engine.connection import Engine, quoted
from prontosync.history.likeness import Form, is_itself
from prontosync.tables.columns import columns_of
from prontosync.tables.reader import StoredTable

_AT_ONCE = 32 << 20
"""Bytes of columns that one query looks through."""


@dataclass(frozen=True)
class Place:
    """Columns of a table, and the forms in which their values are compared. Values are ``v0``, ``v1``, … in turn."""

    table: StoredTable
    columns: tuple[str, ...]
    forms: tuple[Form, ...]

    @property
    def is_key(self) -> bool:
        return set(self.columns) == set(self.table.schema.key)

    @property
    def values(self) -> str:
        return ", ".join(f"v{i}" for i in range(len(self.columns)))

    def formed(self, prefix: str) -> str:
        """The values as SQL: ``prefix`` and a column's index in the schema make the name of what holds it."""
        names = self.table.schema.names
        return ", ".join(
            f"{form(f'{prefix}{names.index(name)}')} AS v{i}"
            for i, (name, form) in enumerate(zip(self.columns, self.forms, strict=True))
        )

    def given(self, prefix: str) -> str:
        """The SQL condition that none is NULL."""
        names = self.table.schema.names
        return " AND ".join(f"{prefix}{names.index(name)} IS NOT NULL" for name in self.columns)

    def moved(self) -> str:
        """The SQL condition that a touched row came, went, or has other values there."""
        indexes = [self.table.schema.names.index(name) for name in self.columns]
        return "(_ps_change <> 'update' OR " + " OR ".join(f"o{i} IS DISTINCT FROM n{i}" for i in indexes) + ")"


def holders(engine: Engine, place: Place, values: pa.Table, moved: pa.Table) -> pa.Table:
    """Of ``values`` (``v0``, …; none twice, none NULL) those that a row holds there whose key is not in ``moved``
    (``k0``, …), each once, with the key of one such row: ``v0``, …, ``k0``, …"""
    key = place.table.schema.key
    keys = [f"k{i}" for i in range(len(key))]
    shown = ", ".join(f"{quoted(name)} AS {k}" for name, k in zip(key, keys, strict=True))
    formed = ", ".join(
        f"{form(quoted(name))} AS v{i}" for i, (name, form) in enumerate(zip(place.columns, place.forms, strict=True))
    )
    given = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in place.columns)
    others = f"ANTI JOIN _ps_moved m USING ({', '.join(keys)})" if moved.num_rows else ""
    first = ", ".join(f"arg_min({k}, ({', '.join(keys)})) AS {k}" for k in keys)
    query = (
        f"SELECT {place.values}, {first} FROM (SELECT {formed}, {shown} FROM _ps_rows WHERE {given}) r"
        f" SEMI JOIN _ps_values v USING ({place.values}) {others} GROUP BY {place.values}"
    )
    found = [engine.table(query, _ps_rows=rows, _ps_values=values, _ps_moved=moved) for rows in _rows(place, values)]
    if not found:
        return _none(place, values)
    if len(found) == 1:
        return found[0]
    together = pa.concat_tables(found)
    return engine.table(f"SELECT {place.values}, {first} FROM _ps_f GROUP BY {place.values}", _ps_f=together)


def _none(place: Place, values: pa.Table) -> pa.Table:
    arrow = arrow_schema(place.table.schema)
    fields = [*values.schema, *(pa.field(f"k{i}", arrow.field(n).type) for i, n in enumerate(place.table.schema.key))]
    return pa.schema(fields).empty_table()


def _rows(place: Place, values: pa.Table) -> Iterator[pa.Table]:
    """The columns and the key of all rows that may hold the values, so many at once."""
    if not values.num_rows:
        return
    names = list(dict.fromkeys([*place.columns, *place.table.schema.key]))
    held: list[pa.Table] = []
    size = 0
    for rows in columns_of(place.table, names, _near(place, values)):
        held.append(rows)
        size += rows.nbytes
        if size >= _AT_ONCE:
            yield pa.concat_tables(held)
            held, size = [], 0
    if held:
        yield pa.concat_tables(held)


def _near(place: Place, values: pa.Table) -> pa.Table | None:
    """The values as the beginning of keys, where they are one."""
    fields: list[pa.Field] = []
    columns: list[pa.ChunkedArray] = []
    for name in place.table.schema.key:
        at = place.columns.index(name) if name in place.columns else -1
        if at < 0 or not is_itself(place.forms[at]):
            break
        fields.append(place.table.arrow.field(name))
        columns.append(values.column(f"v{at}").cast(fields[-1].type))
    return pa.table(columns, schema=pa.schema(fields)) if fields else None


def distinct(engine: Engine, place: Place, rows: Sequence[pa.Table]) -> pa.Table:
    """The values in ``rows``, each once."""
    query = " UNION ".join(f"SELECT {place.values} FROM _ps_{i}" for i in range(len(rows)))
    return engine.table(f"SELECT DISTINCT * FROM ({query})", **{f"_ps_{i}": one for i, one in enumerate(rows)})
