"""Where candidates came from when many branches were merged in steps: which branch brought which row in which step.

While the steps are made, what comes from ours or theirs is named by the step. Afterwards those names become the
branches'.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prontosync.disk.objects import ObjectStore
from prontosync.engine.connection import Engine
from prontosync.history.disputes import Disputes, Key, Origin, keys_table, rows_by_key_list
from prontosync.model.ids import ObjectId
from prontosync.model.objects import TableState
from prontosync.model.schema import TableSchema

if TYPE_CHECKING:
    import pyarrow as pa

    from prontosync.history.provenance import Wanted

SIDE = "_ps_side"
"""The column that says whose a row is."""

_OURS, _THEIRS = "\0ours", "\0theirs"
"""In place of branches: no branch has such a name."""


class Steps:
    """The steps by which branches were merged into one table; ``origins`` are the branches'."""

    def __init__(self, ours: Origin, origins: list[Origin]) -> None:
        self._ours, self._origins = ours, origins
        self._steps: list[tuple[TableState | None, pa.Table | int]] = []

    def __len__(self) -> int:
        return len(self._steps)

    def begin(self, before: TableState | None, owners: pa.Table | int) -> tuple[Origin, Origin]:
        """Another step, from this state. ``owners`` has the keys of the rows that are merged, with their branch's
        number in ``SIDE``; or is the number of the branch that all are of. The origins of both sides."""
        number = len(self._steps)
        self._steps.append((before, owners))
        return Origin(f"{_OURS}{number}", "", "", self._ours.since), Origin(
            f"{_THEIRS}{number}", "", "", self._ours.since
        )

    def name(self, table: str, disputes: Disputes, store: ObjectStore, engine: Engine) -> list[ObjectId]:
        """Put the branches' names in place of the steps'; the commits that candidates are named by now."""
        from prontosync.history.provenance import Wanted

        held: dict[int, dict[Wanted, Origin]] = defaultdict(dict)
        brought: dict[int, dict[Wanted, Origin]] = defaultdict(dict)
        for key, dispute in disputes.rows.items():
            for (column, value), origins in dispute.origins.items():
                for origin in origins:
                    for prefix, found in ((_OURS, held), (_THEIRS, brought)):
                        if origin.branch.startswith(prefix):
                            found[int(origin.branch.removeprefix(prefix))][Wanted(key, column, value)] = origin
        commits = set[str]()
        for number, some in brought.items():
            commits |= self._rename(disputes, number, some)
        commits |= self._trace_back(table, disputes, held, store, engine)
        return [ObjectId(commit) for commit in sorted(commits)]

    def _trace_back(
        self,
        table: str,
        disputes: Disputes,
        held: dict[int, dict[Wanted, Origin]],
        store: ObjectStore,
        engine: Engine,
    ) -> set[str]:
        """What ours held in a step: brought by the step before which it was not there, or by none."""
        from prontosync.history.provenance import holding, rename
        from prontosync.tables.reader import StoredTable

        commits = set[str]()
        wanted: dict[Wanted, Origin] = {}
        for number in reversed(range(len(self._steps))):
            wanted |= held.get(number + 1, {})
            before, owners = self._steps[number]
            touched = {key for key, _ in owners_of(disputes.schema, owners, {one.key for one in wanted})}
            some = {one for one in wanted if one.key in touched}
            if not some:
                continue
            older = holding(StoredTable(store, engine, table, before), some, disputes.schema) if before else set()
            commits |= self._rename(disputes, number, {one: wanted.pop(one) for one in some - older})
        for one, origin in (wanted | held.get(0, {})).items():
            rename(disputes, one, origin, origin._replace(branch=self._ours.branch, commit=self._ours.commit))
            commits.add(self._ours.commit)
        return commits

    def _rename(self, disputes: Disputes, number: int, some: dict[Wanted, Origin]) -> set[str]:
        """Name candidates by the branch that brought their rows in a step."""
        from prontosync.history.provenance import rename

        owners = dict(owners_of(disputes.schema, self._steps[number][1], {one.key for one in some}))
        for one, origin in some.items():
            side = self._origins[owners[one.key]]
            rename(disputes, one, origin, origin._replace(branch=side.branch, commit=side.commit))
        return {self._origins[side].commit for side in owners.values()}


def owners_of(schema: TableSchema, owners: pa.Table | int, keys: Iterable[Key]) -> Iterator[tuple[Key, int]]:
    """Those of few keys that were merged in a step, with the number of the branch that they are of."""
    wanted = list(keys)
    if isinstance(owners, int):
        yield from ((key, owners) for key in wanted)
    elif wanted:
        from prontosync.tables.keyset import split

        found, _ = split(owners, keys_table(schema, wanted), schema.key)
        only = TableSchema(tuple(column for column in schema.columns if column.name in schema.key), schema.key)
        listed = [key for key, _ in rows_by_key_list(only, found)]
        yield from zip(listed, found.column(SIDE).to_pylist(), strict=True)
