"""Pull and sync: everything a place exchanges with the others, in one command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prontosync.cli import output
from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.cli.options import allow_deletes_option, plan_option, with_schema_option
from prontosync.cli.outcome import DIGITS, outcome_json, outcome_lines, snapshot_json, tell_conflicts
from prontosync.cli.transfer import FAILURES, errors_json, exchange_json, raise_worst, transfer_lines
from prontosync.cli.world import changing

if TYPE_CHECKING:
    from prontosync.workflow.pull import Pulled, Synced

OFFLINE = 12
_ALL = (1, 10, *FAILURES, 18)


@command("pull", examples=("prontosync pull", "prontosync pull hub stores/012", "prontosync pull --plan"), exits=_ALL)
@click.argument("remote", metavar="[REMOTE]", required=False, help="A remote's name. Default: all.")
@click.argument("branch", metavar="[BRANCH]", required=False, help="A branch of it. Default: the current one's.")
@plan_option
@allow_deletes_option
@with_schema_option
def pull(
    context: Context,
    remote: str | None,
    branch: str | None,
    plan: bool,
    allow_deletes: tuple[str, ...],
    with_schema: bool,
) -> int:
    """Fetch, take a snapshot, merge what was fetched, and write what it brought to the live database.

    What is merged is the remote's branch of our branch's name, and the configured upstream. Exits 1 while conflicts are
    open; everything that is not in dispute is merged all the same.
    """
    from prontosync.model.names import ref_name
    from prontosync.workflow.pull import pull as do_pull
    from prontosync.workflow.pull import pull_forecast

    wanted = ref_name(branch) if branch else None
    with changing(context) as session:
        session.with_schema = with_schema
        if plan:
            from prontosync.cli.plan import show_plan

            forecast = pull_forecast(session, remote, wanted)
            show_plan(context, forecast)
            return int(forecast.conflicts > 0)
        return _report_pull(context, do_pull(session, remote, wanted, allow_deletes))


@command("sync", examples=("prontosync sync", "prontosync --quiet sync", "prontosync sync --exit-code"), exits=_ALL)
@click.argument("remotes", metavar="[REMOTE]...", nargs=-1, help="Names of remotes. Default: all.")
@click.option("--exit-code", is_flag=True, help="Exit 1 while conflicts are open.")
@allow_deletes_option
@with_schema_option
def sync(
    context: Context, remotes: tuple[str, ...], exit_code: bool, allow_deletes: tuple[str, ...], with_schema: bool
) -> int:
    """Snapshot, fetch, merge, write to the live database, push: the command for cron.

    It asks nothing, and a second run exits 11 at once. A remote that cannot be reached (12) keeps neither the snapshot
    nor the other remotes from being done; with the global option --quiet it is not mentioned. Open conflicts stop
    nothing and are no failure: exit 0, unless --exit-code asks for 1.
    """
    from prontosync.workflow.pull import sync as do_sync

    with changing(context) as session:
        session.with_schema = with_schema
        result = do_sync(session, remotes, allow_deletes)
    _print_sync(context, result)
    offline = result.error is not None and result.error.exit == OFFLINE
    if offline and context.quiet:
        return OFFLINE
    raise_worst(result.errors, result.error)
    return int(exit_code and _open_conflicts(result) > 0)


def _report_pull(context: Context, pulled: Pulled) -> int:
    outcome = pulled.outcome
    if context.json:
        output.emit_json({**_merge_json(pulled), "fetched": exchange_json(pulled.fetched, {})})
    elif not context.quiet:
        lines = [line for transfer in pulled.fetched for line in transfer_lines(transfer)]
        lines += outcome_lines(outcome, "merged", "nothing to merge") if outcome else ["nothing to merge"]
        output.emit_text("\n".join(lines))
        tell_conflicts(context, outcome.conflicts if outcome else 0)
    return int(outcome is not None and outcome.conflicts > 0)


def _merge_json(result: Pulled | Synced) -> dict[str, Any]:
    if result.outcome is not None:
        return outcome_json(result.outcome)
    return {"commit": None, "merged": False, "fast_forward": False, "tables": {}, "conflicts": 0, "applied": None}


def _print_sync(context: Context, result: Synced) -> None:
    if context.json:
        output.emit_json(_sync_json(result))
    elif not context.quiet:
        output.emit_text("\n".join(_sync_lines(result)))
        tell_conflicts(context, _open_conflicts(result))


def _sync_json(result: Synced) -> dict[str, Any]:
    every = exchange_json([*result.fetched, *result.pushed], {})
    return {
        **{name: every[name] for name in ("refs", "objects", "bytes", "seconds")},
        "remote": result.pushed[0].remote if len(result.pushed) == 1 else None,
        "snapshot": snapshot_json(result.snapshot) if result.snapshot else None,
        "pull": {**_merge_json(result), "fetched": exchange_json(result.fetched, {})},
        "push": exchange_json(result.pushed, {}),
        "conflicts": _open_conflicts(result),
        "errors": errors_json(result.errors),
    }


def _sync_lines(result: Synced) -> list[str]:
    lines = []
    if result.snapshot is not None:
        commit = result.snapshot.commit
        lines.append(f"snapshot: {commit[:DIGITS]}" if commit else "snapshot: nothing changed")
    for transfer in result.fetched:
        lines += [f"from {line}" if not line.startswith(" ") else line for line in transfer_lines(transfer)]
    if result.outcome is not None:
        lines += outcome_lines(result.outcome, "merged", "nothing to merge")
    for transfer in result.pushed:
        lines += [f"to {line}" if not line.startswith(" ") else line for line in transfer_lines(transfer)]
    return lines or ["nothing to do"]


def _open_conflicts(result: Synced) -> int:
    return result.outcome.conflicts if result.outcome is not None else 0
