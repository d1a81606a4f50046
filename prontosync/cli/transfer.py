"""Fetch and push, and how a transfer is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from prontosync.cli import output
from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.cli.escape import escape
from prontosync.cli.failure import failure_of
from prontosync.cli.outcome import DIGITS
from prontosync.cli.world import changing

if TYPE_CHECKING:
    from prontosync.errors import ProntoError
    from prontosync.workflow.exchange import Exchanged
    from prontosync.workflow.remotes import RefMove, Transfer
    from prontosync.workflow.session import Session

FAILURES = (11, 12, 13, 14, 15, 16, 17)
"""What exchanging with a remote may exit with."""


@command(
    "fetch",
    examples=("prontosync fetch", "prontosync fetch office", "prontosync fetch --repair"),
    exits=(10, *FAILURES),
)
@click.argument("remote", metavar="[REMOTE]", required=False, help="A remote's name. Default: all.")
@click.option("--repair", is_flag=True, help="First check everything here, and get again what is damaged or missing.")
def fetch(context: Context, remote: str | None, repair: bool) -> None:
    """Bring what is new on a remote, and merge nothing.

    Every object is checked before the remote's branch moves here, as "hub/main" for the branch "main" of the remote
    "hub". A fetch that was cut goes on where it was.
    """
    from prontosync.workflow.exchange import fetch_all

    with changing(context) as session:
        mended = _repair(session, [remote] if remote else []) if repair else None
        result = fetch_all(session, [remote] if remote else [])
    report_exchange(context, result, "nothing new", mended)


@command(
    "push",
    examples=("prontosync push", "prontosync push hub stores/012", "prontosync push --repair"),
    exits=(10, *FAILURES),
)
@click.argument("remote", metavar="[REMOTE]", required=False, help="A remote's name. Default: all but push = false.")
@click.argument("branches", metavar="[BRANCH]...", nargs=-1, help="Branches or tags. Default: the current branch.")
@click.option("--repair", is_flag=True, help="First send again every object of the branch that the remote lost.")
def push(context: Context, remote: str | None, branches: tuple[str, ...], repair: bool) -> None:
    """Send what a remote lacks of a branch, oldest commit first.

    The remote's branch moves after everything it needs has arrived, so a push that was cut has lost nothing and goes on
    where it was. Where the remote has commits that are not here, nothing moves (15): "prontosync pull", then push
    again.
    """
    from prontosync.workflow.exchange import push_all

    with changing(context) as session:
        sent = _resend(session, [remote] if remote else [], branches) if repair else None
        result = push_all(session, [remote] if remote else [], branches)
    report_exchange(context, result, "nothing to push", sent)


def _resend(session: Session, remotes: Sequence[str], branches: Sequence[str]) -> list[str]:
    """The ids of the objects that were sent again."""
    from prontosync.model.names import ref_name
    from prontosync.workflow.remotes import remotes_for_push
    from prontosync.workflow.repair import resend

    return list(resend(session, remotes_for_push(session, remotes), [ref_name(name) for name in branches]))


def _repair(session: Session, remotes: Sequence[str]) -> list[str]:
    """The ids of the objects that are whole again. Raises StillDamaged where others are not."""
    from prontosync.workflow.remotes import remotes_for_fetch
    from prontosync.workflow.repair import repair

    done = repair(session, remotes_for_fetch(session, remotes))
    done.check()
    return list(done.objects)


def report_exchange(context: Context, result: Exchanged, nothing: str, mended: list[str] | None = None) -> None:
    """Print what was done; raises the error that decides the exit code. ``mended`` are objects that were repaired."""
    if context.json:
        more = {} if mended is None else {"repaired": mended}
        output.emit_json(exchange_json(result.transfers, result.errors) | more)
    elif not context.quiet:
        lines = [f"repaired {identity}" for identity in mended or ()]
        lines += [line for transfer in result.transfers for line in transfer_lines(transfer)]
        if lines or not result.errors:
            output.emit_text("\n".join(lines) or nothing)
    raise_worst(result.errors, result.error)


def raise_worst(errors: dict[str, ProntoError], worst: ProntoError | None) -> None:
    """Say the other errors, and raise the worst."""
    for error in errors.values():
        if error is not worst:
            output.complain(failure_of(error).lines())
    if worst is not None:
        raise worst


def exchange_json(transfers: Sequence[Transfer], errors: dict[str, ProntoError]) -> dict[str, Any]:
    """All transfers together, and each by itself under ``remotes``; ``remote`` is null where they are several."""
    return {
        "remote": transfers[0].remote if len(transfers) == 1 else None,
        "refs": {name: move for transfer in transfers for name, move in _refs(transfer).items()},
        "objects": sum(transfer.objects for transfer in transfers),
        "bytes": sum(transfer.bytes for transfer in transfers),
        "seconds": round(sum(transfer.seconds for transfer in transfers), 3),
        "remotes": [_transfer_json(transfer) for transfer in transfers],
        "errors": errors_json(errors),
    }


def errors_json(errors: dict[str, ProntoError]) -> dict[str, Any]:
    """By remote; under ``here`` what kept the snapshot or the merge of a sync from being done."""
    return {name or "here": failure_of(error).as_json() for name, error in errors.items()}


def transfer_lines(transfer: Transfer) -> list[str]:
    """A line for each ref that moved, and the amount; nothing where nothing moved."""
    if not transfer.refs:
        return []
    lines = [f"  {escape(name)}  {_move(move)}" for name, move in sorted(transfer.refs.items())]
    amount = f"{transfer.objects} objects, {transfer.bytes:,} bytes, {transfer.seconds:.1f} s"
    return [f"{escape(transfer.remote)}: {amount}", *lines]


def _move(move: RefMove) -> str:
    old, new = (str(one)[:DIGITS] if one else "none" for one in (move.old, move.new))
    return f"{old} → {new}"


def _refs(transfer: Transfer) -> dict[str, dict[str, Any]]:
    return {name: {"old": move.old, "new": move.new} for name, move in sorted(transfer.refs.items())}


def _transfer_json(transfer: Transfer) -> dict[str, Any]:
    return {
        "remote": transfer.remote,
        "refs": _refs(transfer),
        "objects": transfer.objects,
        "bytes": transfer.bytes,
        "seconds": round(transfer.seconds, 3),
        "round_trips": transfer.round_trips,
        "wire_bytes": transfer.wire_bytes,
    }
