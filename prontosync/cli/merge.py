"""Merge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.cli.decisions import decisions_json, show_decisions
from prontosync.cli.options import (
    REV_HELP,
    allow_deletes_option,
    explain_option,
    message_option,
    plan_option,
    with_schema_option,
)
from prontosync.cli.outcome import report
from prontosync.cli.world import changing, reading
from prontosync.errors import UsageError

if TYPE_CHECKING:
    from prontosync.history.decisions import Decision
    from prontosync.workflow.integrate import Next
    from prontosync.workflow.session import Session


class NothingNamed(UsageError):
    id = "nothing-named"


@command(
    "merge",
    examples=(
        "prontosync merge office/main --dry-run",
        "prontosync merge office/main --plan",
        "prontosync merge office/main --dry-run --explain",
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
@explain_option("Tell each cell and row that a rule decided, or that came to be in dispute, held or marked.")
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
    explain: bool,
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
    from prontosync.workflow.decided import Account

    if not revs and not branches:
        raise NothingNamed("merge needs a revision, or --branches", "see: prontosync branch --all")
    if dry_run or plan:
        from prontosync.cli.plan import show_counts, show_plan

        with reading(context) as session:
            session.with_schema, session.account = with_schema, Account() if explain else None
            named = [*revs, *work.matching(session, branches)]
            with _told_if_refused(context, session):
                forecast = work.merge_forecast(session, named, prefer)
            (show_plan if plan else show_counts)(context, forecast, _decided(session, forecast.next))
            return int(forecast.conflicts > 0)
    with changing(context) as session:
        session.with_schema, session.account = with_schema, Account() if explain else None
        named = [*revs, *work.matching(session, branches)]
        outcome = work.merge(session, named, prefer, message or "", allow_deletes)
        decisions = _decided(session, outcome.next)
    report(context, outcome, "merged", {"decisions": decisions_json(decisions)} if decisions is not None else None)
    if decisions is not None and not context.json and not context.quiet:
        show_decisions(context, decisions)
    return int(outcome.conflicts > 0)


@contextmanager
def _told_if_refused(context: Context, session: Session) -> Iterator[None]:
    """What was decided is shown too where an invariant does not let a merge be made."""
    from prontosync.workflow.invariants import InvariantBroken

    try:
        yield
    except InvariantBroken:
        if session.account is not None and not context.json:
            show_decisions(context, session.account.decisions())
        raise


def _decided(session: Session, following: Next) -> list[Decision] | None:
    """What was decided; None where nobody asked."""
    if session.account is None:
        return None
    return session.account.decisions() if following.commit is not None else []
