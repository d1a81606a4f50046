"""The policies of one table, made ready for merging: by column index, with stores in place of branches.

``docs/merging.md`` says what each decides; ``history.row_merge`` carries them out on one row, ``history.merge_clean``
on many.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prontosync.model.names import STORE_PREFIX
from prontosync.model.rules import MAX, MIN, NONE, PREFER, SUM, Rules, TableRules
from prontosync.model.schema import TableSchema, decimal_parts
from prontosync.model.values import Value, restored

HEAD_OFFICE = "main"
"""The store name of a place that has none: head office, where nobody published rules."""

ROW = -1
"""In place of a column's index: the row as a whole."""

_ORDERED = frozenset(["int64", "float64", "date", "time", "timestamp", "timestamptz", "text"])
_ZONES = datetime.timedelta(hours=14)
_SECOND = datetime.timedelta(seconds=1)


@dataclass(frozen=True)
class Writer:
    """Who made a side's changes: the store of its tip commit. ``trusted`` is head office's, whose changes are not
    judged. ``time`` is the tip's (RFC 3339), empty where it is not known."""

    store: str = ""
    trusted: bool = True
    time: str = ""


@dataclass(frozen=True)
class Policies:
    """``columns`` has each column's own policy: "sum", "max", "min", "prefer" or None.

    ``preferred`` is the store that ``prefer`` names, by column; ``prefer`` that of the whole row. ``newest`` is the
    time's column and ``register`` the columns that it decides together, itself among them; ``owner`` the owner's
    column. ``down``: the columns without a policy of their own, and the rows, are head office's to change. ``exempt``
    are the columns with a policy, ``none`` too, and ``free`` those with ``none``. ``added`` are the columns, or
    ``ROW``, that only the place's own file has a policy for. ``apart``: two inserts under one key are two rows,
    whatever other policies say.
    """

    columns: tuple[str | None, ...] = ()
    preferred: tuple[str | None, ...] = ()
    prefer: str | None = None
    newest: int | None = None
    newest_type: str = ""
    register: tuple[int, ...] = ()
    owner: int | None = None
    append_only: bool = False
    delete: str | None = None
    down: bool = False
    exempt: frozenset[int] = frozenset()
    free: frozenset[int] = frozenset()
    added: frozenset[int] = frozenset()
    apart: bool = False

    @property
    def judges(self) -> bool:
        """Whether a change that only one side made may be refused for who made it."""
        named = self.prefer is not None or any(self.preferred)
        return self.append_only or self.owner is not None or self.down or named

    @property
    def changes_equals(self) -> bool:
        """Whether two sides that say the same may give something else."""
        return self.judges or SUM in self.columns

    def named(self, column: int, writer: Writer) -> bool:
        """Whether a writer is the one whom ``prefer`` names for a column, or for the row."""
        return writer.store == (self.prefer if column == ROW else self.preferred[column])

    def may_write(self, column: int, writer: Writer) -> bool:
        """Whether a side may change a column, or the row's existence, alone."""
        name = self.prefer if column == ROW else self.preferred[column]
        return name is None or writer.trusted or writer.store == name

    def owns(self, owner: Value, writer: Writer) -> bool:
        """Whether a writer may touch a row of this owner; one without an owner is everybody's."""
        if self.owner is None or owner is None or writer.trusted:
            return True
        name = str(uuid.UUID(bytes=owner)) if isinstance(owner, bytes) else str(owner)
        return name == writer.store or _number(name) == _number(writer.store) is not None


NO_POLICIES = Policies()
NOBODY = Writer()
"""The writer of a side that nobody is asked about."""


def policies_of(schema: TableSchema, rules: Rules, said: TableRules, added: frozenset[str]) -> Policies:
    """The policies of a table, of which ``said`` is all that holds, and ``added`` names what of it only the place's own
    file says (``model.rules.only_added``). What does not fit the columns says nothing: it is told when the
    configuration is read.

    In a table that comes down from head office a local edit is in dispute, unless a policy says who may write.
    """
    columns = _column_policies(schema, rules, said)
    newest = _newest(schema, said)
    register = _register(schema, columns, newest)
    whole = {"newest", "prefer", "owner", "append_only", "delete"} & added
    decided = newest is not None or said.prefer is not None or said.owner is not None
    alone = {i for i, column in enumerate(schema.columns) if f"columns.{column.name}" in added}
    alone |= set(register) if "newest" in added else set()
    alone |= {i for i, policy in enumerate(columns) if _kind(policy) == PREFER} if "prefer" in added else set()
    return Policies(
        columns=tuple(_kind(policy) for policy in columns),
        preferred=tuple(policy.partition(" ")[2] if _kind(policy) == PREFER else None for policy in columns),
        prefer=_store(rules, said.prefer),
        newest=newest,
        newest_type=schema.columns[newest].type if newest is not None else "",
        register=register,
        exempt=frozenset(i for i, policy in enumerate(columns) if policy),
        free=frozenset(i for i, policy in enumerate(columns) if policy == NONE),
        owner=schema.names.index(said.owner) if said.owner in schema.names else None,
        append_only=said.append_only,
        delete=said.delete,
        down=said.flow == "down" and not decided,
        added=frozenset(alone | ({ROW} if whole else set())),
        apart=said.renumber is not None,
    )


def fitting(policy: str, logical: str) -> bool:
    """Whether a column of this type can have the policy: sums want numbers, ``max`` and ``min`` what is ordered."""
    if policy == SUM:
        return logical in ("int64", "float64") or decimal_parts(logical) is not None
    if policy in (MAX, MIN):
        return logical in _ORDERED or decimal_parts(logical) is not None
    return True


def plausible(logical: str, value: Any, writer: Writer) -> bool:
    """Whether a time is none that lies ahead of the commit that brought it. A time without a zone may be that of any
    zone; of numbers and text nothing is known."""
    if not writer.time or logical not in ("timestamp", "timestamptz", "date"):
        return True
    limit = datetime.datetime.fromisoformat(writer.time).astimezone(datetime.UTC) + _SECOND
    value = restored(value)
    if logical == "timestamptz":
        return bool(value.astimezone(datetime.UTC) <= limit)
    limit = limit.replace(tzinfo=None) + _ZONES
    return bool(value <= (limit.date() if logical == "date" else limit))


def _column_policies(schema: TableSchema, rules: Rules, said: TableRules) -> list[str]:
    found = []
    for column in schema.columns:
        policy = said.columns.get(column.name, "")
        if not policy and said.prefer:
            policy = f"{PREFER} {said.prefer}"
        if column.name in schema.key or not fitting(policy, column.type):
            policy = ""
        elif policy.startswith(f"{PREFER} "):
            policy = f"{PREFER} {_store(rules, policy.partition(' ')[2])}"
        found.append(policy)
    return found


def _kind(policy: str) -> str | None:
    kind = policy.partition(" ")[0]
    return kind if kind and kind != NONE else None


def _register(schema: TableSchema, columns: Sequence[str], newest: int | None) -> tuple[int, ...]:
    """The time, and the columns outside the key that have no policy of their own."""
    if newest is None:
        return ()
    free = {i for i, column in enumerate(schema.columns) if column.name not in schema.key and not columns[i]}
    return tuple(sorted(free | {newest}))


def _newest(schema: TableSchema, said: TableRules) -> int | None:
    found = _index(schema, said.newest)
    times = ("timestamp", "timestamptz", "date", "int64", "text")
    return found if found is not None and schema.columns[found].type in times else None


def _index(schema: TableSchema, name: str | None) -> int | None:
    return schema.names.index(name) if name in schema.names and name not in schema.key else None


def _store(rules: Rules, branch: str | None) -> str | None:
    """The store that writes a branch: head office's, or that of ``stores/<store>``."""
    if branch is None:
        return None
    return rules.store if rules.branch and branch == rules.branch else branch.removeprefix(STORE_PREFIX)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
