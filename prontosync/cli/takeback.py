"""Revert and undo."""

from __future__ import annotations

from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.cli.options import (
    allow_deletes_option,
    key_option,
    message_option,
    plan_option,
    rev_argument,
    table_option,
    with_schema_option,
)
from prontosync.cli.outcome import report
from prontosync.cli.world import changing, reading

_EXITS = (1, 10, 11, 13, 14, 15, 16, 17, 18)


@command(
    "revert",
    examples=(
        "prontosync revert HEAD --plan",
        'prontosync revert HEAD -m "the wrong price list"',
        "prontosync revert HEAD --table product --key 101",
    ),
    exits=_EXITS,
)
@rev_argument("commit", required=True)
@table_option()
@key_option()
@plan_option
@message_option
@allow_deletes_option
@with_schema_option
def revert(
    context: Context,
    commit: str,
    table: str | None,
    key: str | None,
    plan: bool,
    message: str | None,
    allow_deletes: tuple[str, ...],
    with_schema: bool,
) -> int:
    """Take back what COMMIT brought, all of it or one table or row.

    It is a merge of the opposite: what was changed again since stays as it is, or becomes a conflict where both touched
    the same cell (exit 1). A merge commit is taken back against its first parent. The result is a commit, written to
    the live database and carried to other places as any edit.
    """
    from prontosync.workflow import takeback as work

    part = work.Part(table, key)
    if plan:
        from prontosync.cli.plan import show_plan

        with reading(context) as session:
            session.with_schema = with_schema
            forecast = work.revert_forecast(session, session.revisions.resolve(commit), part)
            show_plan(context, forecast)
            return int(forecast.conflicts > 0)
    with changing(context) as session:
        session.with_schema = with_schema
        outcome = work.revert(session, session.revisions.resolve(commit), part, message or "", allow_deletes)
    report(context, outcome, "reverted")
    return int(outcome.conflicts > 0)


@command("undo", examples=("prontosync undo --plan", 'prontosync undo -m "not yet"'), exits=_EXITS)
@plan_option
@message_option
@allow_deletes_option
@with_schema_option
def undo(context: Context, plan: bool, message: str | None, allow_deletes: tuple[str, ...], with_schema: bool) -> int:
    """Take back what the last merge or pull brought, a fast-forward too.

    Local edits made since stay. A second undo takes back the merge before.
    """
    from prontosync.workflow import takeback as work

    if plan:
        from prontosync.cli.plan import show_plan

        with reading(context) as session:
            session.with_schema = with_schema
            forecast = work.undo_forecast(session)
            show_plan(context, forecast)
            return int(forecast.conflicts > 0)
    with changing(context) as session:
        session.with_schema = with_schema
        outcome = work.undo(session, message or "", allow_deletes)
    report(context, outcome, "undone")
    return int(outcome.conflicts > 0)
