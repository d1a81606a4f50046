"""Merge."""

from __future__ import annotations

import click

from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.cli.options import REV_HELP, allow_deletes_option, message_option, plan_option, with_schema_option
from prontosync.cli.outcome import report
from prontosync.cli.world import changing, reading
from prontosync.errors import UsageError


class NothingNamed(UsageError):
    id = "nothing-named"


@command(
    "merge",
    examples=(
        "prontosync merge office/main --dry-run",
        "prontosync merge office/main --plan",
        "prontosync merge --branches 'hub/stores/*' --dry-run",
        'prontosync merge office/main --prefer office/main -m "prices of the week"',
    ),
    exits=(1, 10, 11, 13, 14, 15, 16, 17, 18),
)
@click.argument("revs", metavar="[REV]...", nargs=-1, help=f"{REV_HELP}; several are merged in one commit.")
@click.option(
    "--branches",
    metavar="PATTERN",
    multiple=True,
    help='All branches whose names as revisions match, such as "hub/stores/*"; may be given several times.',
)
@click.option("--prefer", metavar="SIDE", help='Decide every conflict for a side: its branch, "ours" or "theirs".')
@click.option("--dry-run", is_flag=True, help="Print what would be merged, with counts and conflicts; change nothing.")
@plan_option
@message_option
@allow_deletes_option
@with_schema_option
def merge(
    context: Context,
    revs: tuple[str, ...],
    branches: tuple[str, ...],
    prefer: str | None,
    dry_run: bool,
    plan: bool,
    message: str | None,
    allow_deletes: tuple[str, ...],
    with_schema: bool,
) -> int:
    """Bring the commits of each REV into the current branch and the live database.

    Several are merged in one commit, with what merging them one after the other would give: versions of our own branch
    first, then the upstream, then the others by name. Those that bring nothing are left out.

    A merge always completes. A cell that both sides changed differently, and that no policy decides, becomes an open
    conflict: all candidates are kept, the live database keeps its own value, and everything else is merged. Exits 1
    while conflicts are open; "prontosync conflicts" shows them.
    """
    from prontosync.workflow import merge_many as work

    if not revs and not branches:
        raise NothingNamed("merge needs a revision, or --branches", "see: prontosync branch --all")
    if dry_run or plan:
        from prontosync.cli.plan import show_counts, show_plan

        with reading(context) as session:
            session.with_schema = with_schema
            forecast = work.merge_forecast(session, [*revs, *work.matching(session, branches)], prefer)
            (show_plan if plan else show_counts)(context, forecast)
            return int(forecast.conflicts > 0)
    with changing(context) as session:
        session.with_schema = with_schema
        named = [*revs, *work.matching(session, branches)]
        outcome = work.merge(session, named, prefer, message or "", allow_deletes)
    report(context, outcome, "merged")
    return int(outcome.conflicts > 0)
