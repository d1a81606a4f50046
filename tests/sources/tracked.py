"""A tracked table at a moment, and what its notes say of the time since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from prontosync.sources.contract import BEFORE, PRESENT, ChangedRows, Mark, SourceTable
from prontosync.sources.sqlite import SqliteSource, SqliteState
from tests.sources.shop import Row, whole

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Moment:
    table: SourceTable
    rows: dict[Key, Row]
    mark: Mark
    token: str

    @property
    def highest(self) -> int | None:
        keys = [key[0] for key in self.rows if len(key) == 1 and isinstance(key[0], int)]
        return max(keys, default=None)


@dataclass(frozen=True)
class Change:
    key: Key
    present: bool
    before: bool | None
    row: Row


def now(live: SqliteSource, name: str = "t") -> Moment:
    with live.read() as state:
        return moment(state, name)


def moment(state: SqliteState, name: str = "t") -> Moment:
    table, rows = state.scan(name, lambda scan: (scan.table, whole(scan)))
    tracking = state.tracking[name]
    return Moment(table, {_key(table, row): row for row in rows.to_pylist()}, tracking.mark, tracking.token)


def since(live: SqliteSource, then: Moment, *, brief: bool = False, **arguments: Any) -> list[Change] | str:
    """What changed; a text is the reason for a doubt."""
    with live.read(brief=brief) as state:
        return changed(state, then, **arguments)


def changed(state: SqliteState, then: Moment, **arguments: Any) -> list[Change] | str:
    """The same, of a state that is open."""
    name = then.table.name
    wanted = {"rows": len(then.rows), "highest": then.highest, **arguments}
    found = state.changed(name, then.mark, then.token, then.table, lambda rows: collected(then.table, rows), **wanted)
    return state.doubts[name] if found is None else found


def collected(table: SourceTable, found: ChangedRows) -> list[Change]:
    assert found.table == table
    rows = [row for batch in found.batches for row in batch.to_pylist()]
    return [Change(_key(table, row), row.pop(PRESENT), row.pop(BEFORE), row) for row in rows]


def applied(then: Moment, changes: list[Change]) -> dict[Key, Row]:
    """The rows at a moment with the changes since."""
    rows = dict(then.rows)
    assert len({change.key for change in changes}) == len(changes)
    for change in changes:
        if change.before is not None:
            assert change.before == (change.key in then.rows), change
        rows.pop(change.key, None)
        if change.present:
            rows[change.key] = change.row
        else:
            assert all(value is None for name, value in change.row.items() if name not in then.table.schema.key)
    return rows


def keys(*given: Key, of: Moment) -> pa.Table:
    """Keys as the contract wants them."""
    from prontosync.engine.arrow import arrow_schema

    schema = pa.schema([arrow_schema(of.table.schema).field(name) for name in of.table.schema.key])
    return pa.Table.from_pylist([dict(zip(of.table.schema.key, key, strict=True)) for key in given], schema=schema)


def _key(table: SourceTable, row: Row) -> Key:
    return tuple(row[name] for name in table.schema.key)
