"""Marks: why a row wants somebody's attention although its cells are decided.

A row with a *hold* breaks a constraint of the place that merged it: what it is to be, its *intent*, is kept beside the
table, which goes on showing the row that was there. A row with an *invariant* mark is shown as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

HOLDS = ("foreign-key", "unique", "check")
INVARIANT = "invariant"
KINDS = (*HOLDS, INVARIANT)


@dataclass(frozen=True)
class Mark:
    """``kind`` is one of ``KINDS``; ``detail`` says in words what is broken, or names the invariant. ``branch`` and
    ``commit`` are where the row came from, ``since`` is when it was marked first."""

    kind: str
    detail: str
    branch: str = ""
    commit: str = ""
    since: str = ""

    @property
    def holds(self) -> bool:
        """Whether the table shows another row than the intended one."""
        return self.kind in HOLDS

    @property
    def text(self) -> str:
        """Kind and detail in one, as stored."""
        return f"{self.kind}: {self.detail}"


def marked(kind: str, branch: str, commit: str, since: str) -> Mark | None:
    """The mark whose kind and detail are written as ``Mark.text``; None where the kind is that of a plain conflict."""
    name, colon, detail = kind.partition(": ")
    return Mark(name, detail, branch, commit, since) if colon and name in KINDS else None
