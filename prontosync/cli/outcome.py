"""What a merge, a pull, a resolution, a revert or an undo did: as the contract's JSON, and for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from prontosync.cli import output
from prontosync.cli.context import Context
from prontosync.cli.escape import escape
from prontosync.cli.grid import grid

if TYPE_CHECKING:
    from prontosync.history.merge import Counts
    from prontosync.history.schema_merge import SchemaConflict
    from prontosync.model.objects import Changes
    from prontosync.model.renumbering import NewKey
    from prontosync.workflow.integrate import Next, Outcome
    from prontosync.workflow.snapshot import Snapshot

DIGITS = 12
"""How much of a commit's id is shown to people."""


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """``commit`` is where the branch is now; ``applied`` is null in a repository without a live database."""
    return {
        "commit": outcome.head,
        **next_json(outcome.next),
        "conflicts": outcome.conflicts,
        "applied": None if outcome.applied is None else changes_json(outcome.applied),
        **({"statements": list(outcome.statements)} if outcome.statements else {}),
    }


def next_json(following: Next) -> dict[str, Any]:
    return {
        "merged": following.merged,
        "fast_forward": following.fast_forward,
        "tables": {name: asdict(counts) for name, counts in following.counts.items() if any(asdict(counts).values())},
        **({"waiting": following.waiting} if following.waiting else {}),
        **({"unmerged": [schema_json(one) for one in following.unmerged]} if following.unmerged else {}),
        **({"renumbered": [key._asdict() for key in following.renumbered]} if following.renumbered else {}),
    }


def schema_json(conflict: SchemaConflict) -> dict[str, Any]:
    """A table that was not merged."""
    return {"table": conflict.table, "details": list(conflict.details), "hint": conflict.hint}


def changes_json(changes: Mapping[str, Changes]) -> dict[str, Any]:
    return {name: change_json(change) for name, change in changes.items()}


def change_json(change: Changes) -> dict[str, int]:
    return {"inserted": change.inserted, "updated": change.updated, "deleted": change.deleted}


def snapshot_json(snapshot: Snapshot) -> dict[str, Any]:
    """In short, as part of another answer."""
    return {"commit": snapshot.commit, "tables": changes_json(snapshot.changes)}


def report(context: Context, outcome: Outcome, verb: str, extra: Mapping[str, Any] | None = None) -> None:
    """Print an outcome. ``verb`` is what was done, such as "merged"; ``extra`` are more members of the JSON."""
    if context.json:
        output.emit_json({**outcome_json(outcome), **(extra or {})})
    elif not context.quiet:
        output.emit_text("\n".join(outcome_lines(outcome, verb)))
        tell_conflicts(context, outcome.conflicts)


def tell_conflicts(context: Context, conflicts: int) -> None:
    """The way on, where there are conflicts."""
    if conflicts:
        output.hint(context, "prontosync conflicts")


def outcome_lines(outcome: Outcome, verb: str, idle: str = "nothing to do") -> list[str]:
    """Escaped lines for people; ``idle`` is said where the branch did not move."""
    lines = [_headline(outcome, verb, idle)]
    taken = _table(outcome.next.counts, outcome.applied)
    if taken:
        lines.append(taken.rstrip("\n"))
    lines += [*renumbered_lines(outcome.next.renumbered), *waiting_lines(outcome.next)]
    lines += [f"run in the live database: {escape(text)}" for text in outcome.statements]
    lines += conflict_lines(outcome.conflicts)
    return lines


def renumbered_lines(keys: Sequence[NewKey]) -> list[str]:
    """Rows that have another key now."""
    return [escape(f"renumbered {key.table} {key.old} of {key.branch} to {key.new}") for key in keys]


def waiting_lines(following: Next) -> list[str]:
    """Tables that the other side has and the live database lacks, and those whose schemas do not go together."""
    lines = [
        f'table "{escape(name)}" waits: the live database does not have it (--with-schema makes it)'
        for name in following.waiting
    ]
    return lines + [line for conflict in following.unmerged for line in schema_lines(conflict)]


def schema_lines(conflict: SchemaConflict) -> list[str]:
    """A table that was not merged, why, and what to do."""
    why = "; ".join(conflict.details)
    return [escape(f'table "{conflict.table}" was not merged, each place keeps its rows: {why}'), f"  {conflict.hint}"]


def conflict_lines(number: int) -> list[str]:
    return [f"{number} open conflict{'' if number == 1 else 's'}"] if number else []


def count_grid(counts: Mapping[str, Counts]) -> str:
    """Rows taken, merged, disputed and held, by table."""
    some = [(name, c) for name, c in sorted(counts.items()) if any(asdict(c).values())]
    rows = [(name, c.taken, c.merged, c.disputed, c.held) for name, c in some]
    return grid(("table", "taken", "merged", "disputed", "held"), rows) if rows else ""


def _headline(outcome: Outcome, verb: str, idle: str) -> str:
    if outcome.head == outcome.before:
        return idle
    way = ", fast-forward" if outcome.next.fast_forward else ""
    return f"{verb}: {outcome.head[:DIGITS]}{way}"


def _table(counts: Mapping[str, Counts], applied: Mapping[str, Changes] | None) -> str:
    text = count_grid(counts)
    rows = [(name, c.inserted, c.updated, c.deleted) for name, c in sorted((applied or {}).items())]
    if rows:
        text += "written to the live database:\n" + grid(("table", "inserted", "updated", "deleted"), rows)
    return text
