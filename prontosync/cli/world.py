"""The world as the workflow is handed it, made of a command's context in one place."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from prontosync.cli import output
from prontosync.cli.context import Context

if TYPE_CHECKING:
    from prontosync.workflow.session import Session, World


def world_of(context: Context) -> World:
    """Who is at work and where they are at home is what the system's accounts say, as ssh has it."""
    from prontosync.workflow.session import World

    account = _account()
    return World(
        folder=context.start,
        clock=context.clock,
        author=context.author,
        home=Path(account.pw_dir) if account else None,
        user=account.pw_name if account else None,
        note=lambda text: output.note(context, text),
        progress=context.progress,
        machine_ns=time.time_ns,
    )


@contextmanager
def reading(context: Context) -> Iterator[Session]:
    """The repository that holds the context's folder, for a command that changes nothing."""
    from prontosync.workflow.session import opened

    with opened(context.start, world_of(context)) as session:
        yield session


@contextmanager
def changing(context: Context) -> Iterator[Session]:
    """The same, with the repository's lock. Raises RepositoryBusy (11) at once where another run has it."""
    from prontosync.workflow.session import locked

    with locked(context.start, world_of(context)) as session:
        yield session


def _account() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(os.getuid())
    except KeyError:  # a container's user without an entry
        return None
