"""Restore: build an empty database from a snapshot, row for row and definition for definition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prontosync.errors import Unfit
from prontosync.history.written import stored_rows
from prontosync.model import encoding
from prontosync.model.ids import ObjectId, ObjectName
from prontosync.model.progress import told_as
from prontosync.model.schema import DatabaseDdl
from prontosync.sources.contract import Source, SourceTable
from prontosync.sources.locate import locate
from prontosync.tables.reader import StoredTable
from prontosync.workflow.session import Session

DIALECT = "sqlite"


class NothingToRestore(Unfit):
    id = "nothing-to-restore"


@dataclass(frozen=True)
class Restored:
    """The commit, and how many rows each table got."""

    commit: ObjectId
    tables: dict[str, int]


def restore_to(session: Session, commit: ObjectId, url: str) -> Restored:
    """The same for a database named by its address, relative to where the command was started."""
    target = locate(url, base=session.world.folder, temp=session.repo.tmp, progress=session.progress)
    return restore(session, commit, target)


def restore(session: Session, commit: ObjectId, target: Source) -> Restored:
    """Build ``target`` from a commit. Raises Unfit where it holds data already, or the snapshot came from no
    database."""
    tree = session.commits.tree(commit)
    tables = [StoredTable(session.repo.objects, session.engine, n, s) for n, s in sorted(tree.tables.items())]
    if not tables:
        raise NothingToRestore(f"commit {commit[:12]} holds no tables")
    database = DatabaseDdl(DIALECT)
    if tree.database is not None:
        database = encoding.decode(session.repo.objects.read(ObjectName(tree.database, "json")), DatabaseDdl)
    target.build([_told(session, table) for table in tables], database)
    return Restored(commit, {table.name: table.state.rows for table in tables})


def _told(session: Session, table: StoredTable) -> tuple[SourceTable, Iterator[Any]]:
    """A table for its new database: without the columns that the branch carries for others."""
    described, rows = stored_rows(table)
    return described, told_as(rows, f'building "{table.name}"', table.state.rows, session.progress)
