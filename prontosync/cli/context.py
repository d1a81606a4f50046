"""What a command is told about the world: where it was started, by whom, and when.

The environment, the arguments and the wall clock are read here and nowhere below ``cli``; every other room is handed
values.
"""

from __future__ import annotations

import os
import pwd
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from prontosync.cli.progress import TerminalProgress
from prontosync.errors import RepositoryError, UsageError
from prontosync.model.progress import SILENT, Progress

Clock = Callable[[], datetime]
"""Returns the present moment as an aware datetime in UTC."""

ENVIRONMENT: dict[str, str] = {
    "PRONTOSYNC_DATE": "the moment that counts as now, as RFC 3339: `2026-12-31T14:00:00Z`",
    "PRONTOSYNC_AUTHOR": "the author of snapshots; without it, the name of the account",
    "NO_COLOR": "no colours, if set to anything",
    "TERM": "no colours, if `dumb`; then, or without it, no progress either",
}
"""Every variable that is read, and its meaning; the manual is rendered from this table."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


@dataclass(frozen=True, kw_only=True)
class Context:
    """``start`` is the folder where the search for a repository begins, absolute.

    ``author`` is the name a snapshot carries unless the command is given another. ``colour`` is already
    decided: true means do it. ``progress`` is SILENT where it is not wanted, or there is no terminal. ``wide``: what
    is shown on a terminal is not cut to fit it.
    """

    start: Path
    clock: Clock
    author: str
    quiet: bool = False
    verbose: bool = False
    colour: bool = False
    progress: Progress = SILENT
    json: bool = False
    wide: bool = False


def from_environment(
    *, directory: str | None, quiet: bool, verbose: bool, no_color: bool, no_progress: bool
) -> Context:
    """Raises ``UsageError`` for a bad ``PRONTOSYNC_DATE``, ``RepositoryError`` for a ``directory`` that is none."""
    plain = no_color or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return Context(
        start=_start(directory),
        clock=_clock(os.environ.get("PRONTOSYNC_DATE")),
        author=_author(),
        quiet=quiet,
        verbose=verbose,
        colour=not plain and _is_terminal(sys.stdout),
        progress=SILENT if no_progress or quiet else _progress(sys.stderr, colour=not plain),
    )


def _start(directory: str | None) -> Path:
    if directory is not None and not os.path.isdir(directory):
        raise RepositoryError(f'no folder "{directory}"', "give -C a folder that exists")
    try:
        return Path(directory or ".").absolute()
    except FileNotFoundError as error:  # the working folder was deleted under us
        if directory is None:
            return Path("/")
        raise RepositoryError(f'no folder "{directory}"', "the working folder was deleted") from error


def _clock(fixed: str | None) -> Clock:
    if not fixed:
        return lambda: datetime.now(UTC)
    moment = _moment(fixed)
    return lambda: moment


def _moment(text: str) -> datetime:
    try:
        if _RFC3339.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise UsageError(
        f'PRONTOSYNC_DATE is not an RFC 3339 date: "{text}"', "write it like 2026-12-31T14:00:00Z, or unset it"
    )


def _author() -> str:
    named = os.environ.get("PRONTOSYNC_AUTHOR")
    if named:
        return named
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without an entry
        return f"uid-{os.getuid()}"


def _progress(stream: TextIO | None, colour: bool) -> Progress:
    if stream is None or not _is_terminal(stream) or os.environ.get("TERM", "dumb") in {"", "dumb", "unknown"}:
        return SILENT
    return TerminalProgress(stream, colour=colour)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()
