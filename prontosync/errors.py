"""What goes wrong, and the one table of exit codes.

An error carries its fields, a message and a hint, and knows nothing of the command line: ``cli`` turns it into
words and an exit code in exactly one place. Concrete errors live beside the code that raises them; they are
subclasses of the families below, and a family is an exit code.

Messages are lower case, without a full stop, with the subject in double quotes; the hint is what to type next.
"""

from __future__ import annotations

from typing import ClassVar


class ProntoError(Exception):
    """The root of everything this program raises on purpose.

    ``message`` says what happened and to what; ``hint`` says what to do, or is None.
    ``id`` is the stable name that scripts read in ``--json`` errors; ``exit`` is the exit code.
    """

    id: ClassVar[str] = "bug"
    exit: ClassVar[int] = 70

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(ProntoError):
    id, exit = "usage", 2


class Partial(ProntoError):
    id, exit = "partial", 3


class RepositoryError(ProntoError):
    """No repository here, a wrong configuration, or a repository that a newer version wrote."""

    id, exit = "repository", 10


class Busy(ProntoError):
    id, exit = "busy", 11


class Unreachable(ProntoError):
    id, exit = "unreachable", 12


class Refused(ProntoError):
    """Login, host key, permission, policy, hook, or a guard such as the one on mass deletion."""

    id, exit = "refused", 13


class Damaged(ProntoError):
    """A hash, signature or chain that does not hold, a missing object, a hub rolled back."""

    id, exit = "damaged", 14


class Moved(ProntoError):
    """The live database or a ref changed meanwhile and the retries are used up."""

    id, exit = "moved", 15


class NoSpace(ProntoError):
    id, exit = "no-space", 16


class NotFound(ProntoError):
    id, exit = "not-found", 17


class Unfit(ProntoError):
    """Data or a schema that cannot be carried exactly, or that does not fit where it should go."""

    id, exit = "unfit", 18


EXIT_CODES: dict[int, str] = {
    0: "done, or nothing to do",
    1: "there are differences, or open conflicts",
    2: "usage",
    3: "done in part; run again (a budget was used up)",
    10: "no repository here, or its configuration is wrong, or it needs a newer version",
    11: "busy: another run, or the live database is locked",
    12: "the remote cannot be reached (retry later)",
    13: "refused: login, host key, permission, policy, hook, or a guard (mass deletion)",
    14: "damaged or not to be trusted: hash, signature, missing object, rolled-back hub",
    15: "moved meanwhile: the live database or the ref changed and retries were used up, "
    "or the live database was restored from an older copy",
    16: "no space, here or there",
    17: "not found: revision, table, key, remote",
    18: "data or schema that cannot be carried exactly, or does not fit",
    70: "a bug in this program",
    130: "interrupted",
    143: "terminated",
}
"""Every exit code and its meaning; help, man pages and docs are rendered from this table."""

PRECEDENCE: tuple[int, ...] = (70, 14, 13, 18, 16, 15, 11, 12, 3, 1)
"""Where several codes apply to one run, the first of these is the one it exits with."""
