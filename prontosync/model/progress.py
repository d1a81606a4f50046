"""Progress: how work that may last tells how far it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, Self, TypeVar


class Task(Protocol):
    """One piece of work while it is being done. Several threads may advance it."""

    def advance(self, amount: int, objects: int = 0) -> None:
        """So much more is done, in the task's unit, and so many objects of a repository with it. What must be done
        again is taken back by a negative amount. Never waits for whoever listens, and raises nothing; cheap enough for
        every batch of rows and every packet, not for every row."""
        ...

    def at(self, label: str) -> None:
        """What the task is busy with now, in place of the label that it began with."""
        ...


class Progress(Protocol):
    """Who listens. Nothing that is told here may change what is done."""

    def task(
        self, label: str, total: int | None, unit: str, objects: int | None = None
    ) -> AbstractContextManager[Task]:
        """A piece of work that lasts as long as the context.

        ``label`` says what is done to what: ``reading "stock"``. It may hold any name, as it is: whoever shows it makes
        it harmless. ``unit`` is what is counted, in the plural: "rows", "objects", "tables", or "bytes", which are
        shown as kB, MB, GB. ``total`` is how much of it there is to do, None where that is unknown; an estimate is
        fine, and the work may end before or after it. ``objects`` is how many objects that amount is made of, where
        those are told too.
        """
        ...


class _Nobody:
    """Listens to nothing, and costs nothing."""

    def task(self, label: str, total: int | None, unit: str, objects: int | None = None) -> Self:
        return self

    def advance(self, amount: int, objects: int = 0) -> None:
        pass

    def at(self, label: str) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


_NOBODY = _Nobody()
SILENT: Progress = _NOBODY
UNTOLD: Task = _NOBODY


class HasRows(Protocol):
    @property
    def num_rows(self) -> int: ...


Batch = TypeVar("Batch", bound=HasRows)
T = TypeVar("T")


def told(batches: Iterable[Batch], task: Task) -> Iterator[Batch]:
    """The same batches of rows; the task is advanced by each one's rows when the next one is asked for."""
    for batch in batches:
        yield batch
        task.advance(batch.num_rows)


def told_as(batches: Iterable[Batch], label: str, total: int | None, progress: Progress) -> Iterator[Batch]:
    """The same batches, as a task of their own."""
    with progress.task(label, total, "rows") as task:
        yield from told(batches, task)


def counted(things: Iterable[T], label: str, total: int | None, unit: str, progress: Progress) -> Iterator[T]:
    """The same things, as a task of their own that is advanced by one when the next one is asked for."""
    with progress.task(label, total, unit) as task:
        for thing in things:
            yield thing
            task.advance(1)


def by_table(names: Sequence[str], doing: str, progress: Progress) -> Iterator[str]:
    """The same names of tables, as such a task that says which one it is at."""
    with progress.task(doing, len(names), "tables") as task:
        for name in names:
            task.at(f'{doing} "{name}"')
            yield name
            task.advance(1)
