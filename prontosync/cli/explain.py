"""What was decided in one commit, for ``log --explain``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prontosync.cli import output
from prontosync.cli.context import Context
from prontosync.cli.decisions import decisions_json, decisions_text
from prontosync.cli.display import Display, display
from prontosync.cli.escape import escape
from prontosync.cli.outcome import DIGITS

if TYPE_CHECKING:
    from prontosync.model.rules import Rules
    from prontosync.workflow.explain import Explained


def show_explained(context: Context, found: Explained, rules: Rules, head: list[str], entry: dict[str, Any]) -> None:
    """Print it below the commit itself: ``head`` are its lines, ``entry`` its JSON, to which the rest is added."""
    if context.json:
        output.emit_json({**entry, **_as_json(found)})
        return
    shown = display(context)
    output.emit_pieces(_text(shown, found, rules, head))
    shown.tell()
    for parent in found.missing:
        output.hint(context, f"ask where {parent.branch} is at hand, such as head office, or {_way(parent.branch)}")


def _as_json(found: Explained) -> dict[str, Any]:
    return {
        "decisions": decisions_json(found.decisions),
        "made_again": None if found.differing is None else not found.differing,
        "differing": list(found.differing or ()),
        "prefer": found.prefer,
        "missing": [{"commit": parent.commit, "branch": parent.branch} for parent in found.missing],
    }


def _text(shown: Display, found: Explained, rules: Rules, head: list[str]) -> Iterator[str]:
    yield from (f"{line}\n" for line in head)
    yield "\n"
    if found.differing is not None:
        prefer = f" and --prefer {found.prefer}" if found.prefer else ""
        yield f"made again from its parents, by {_named(rules)}{prefer}:\n"
    if found.differing:
        names = ", ".join(map(escape, found.differing))
        yield shown.paint(f"this is not what merging its parents by its rules gives: {names} differ", "red") + "\n"
    for parent in found.missing:
        named = f"{parent.commit[:DIGITS]} of {escape(parent.branch)}"
        yield f"parent {named} is not here: the merge cannot be made again\n"
    yield from decisions_text(shown, found.decisions) if found.decisions else ("it decided nothing\n",)


def _named(rules: Rules) -> str:
    if rules.version:
        more = ", and what this place added" if rules.added else ""
        return f"the rules of {escape(rules.branch)}, version {rules.version}{more}"
    return "the rules of its place" if rules else "no rules"


def _way(branch: str) -> str:
    return (
        f'fetch it: prontosync config set merge.branches "*/{branch}", then prontosync fetch; pull merges it too then'
    )
