"""Merge."""

from __future__ import annotations

import click

from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.cli.options import allow_deletes_option, message_option, plan_option, rev_argument, with_schema_option
from prontosync.cli.outcome import report
from prontosync.cli.world import changing, reading


@command(
    "merge",
    examples=(
        "prontosync merge office/main --dry-run",
        "prontosync merge office/main --plan",
        'prontosync merge office/main --prefer office/main -m "prices of the week"',
    ),
    exits=(1, 10, 11, 13, 14, 15, 16, 17, 18),
)
@rev_argument(required=True)
@click.option("--prefer", metavar="SIDE", help='Decide every conflict for a side: its branch, "ours" or "theirs".')
@click.option("--dry-run", is_flag=True, help="Print what would be merged, with counts and conflicts; change nothing.")
@plan_option
@message_option
@allow_deletes_option
@with_schema_option
def merge(
    context: Context,
    rev: str,
    prefer: str | None,
    dry_run: bool,
    plan: bool,
    message: str | None,
    allow_deletes: tuple[str, ...],
    with_schema: bool,
) -> int:
    """Bring the commits of REV into the current branch and the live database.

    A merge always completes. A cell that both sides changed differently, and that no policy decides, becomes an open
    conflict: all candidates are kept, the live database keeps its own value, and everything else is merged. Exits 1
    while conflicts are open; "prontosync conflicts" shows them.
    """
    from prontosync.workflow import merge as work

    if dry_run or plan:
        from prontosync.cli.plan import show_counts, show_plan

        with reading(context) as session:
            session.with_schema = with_schema
            forecast = work.merge_forecast(session, rev, prefer)
            (show_plan if plan else show_counts)(context, forecast)
            return int(forecast.conflicts > 0)
    with changing(context) as session:
        session.with_schema = with_schema
        outcome = work.merge(session, rev, prefer, message or "", allow_deletes)
    report(context, outcome, "merged")
    return int(outcome.conflicts > 0)
