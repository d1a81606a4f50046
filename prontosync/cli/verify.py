"""Verify."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from prontosync.cli import output as out
from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.cli.options import REV_HELP
from prontosync.cli.world import reading
from prontosync.errors import UsageError

if TYPE_CHECKING:
    from prontosync.history.verify import Findings

DAMAGED = 14
_SAMPLE = re.compile(r"([1-9]\d{0,5})/([1-9]\d{0,5})")


class BadSample(UsageError):
    id = "bad-sample"


class OneTarget(UsageError):
    id = "one-target"


@command(
    "verify",
    examples=(
        "prontosync verify",
        "prontosync verify HEAD",
        "prontosync verify --remote hub",
        "prontosync verify --sample 3/30",
    ),
    exits=(10, 12, 13, 14, 16, 17),
)
@click.argument("rev", metavar="[REV]", required=False, help=f"{REV_HELP}. Default: every object and ref.")
@click.option("--remote", metavar="NAME", help="Check what this remote holds: all of it is downloaded and thrown away.")
@click.option(
    "--sample", metavar="K/N", help="Only the K-th of N parts: 3/30 today and 4/30 tomorrow is all in a month."
)
def verify(context: Context, rev: str | None, remote: str | None, sample: str | None) -> int:
    """Check that everything is there and unchanged: bytes, rows against their digests, refs and their chains.

    What is damaged or missing is named, and the exit code is 14. It comes back from a remote that has it:
    "prontosync fetch --repair".
    """
    from prontosync.workflow import verify as work

    if rev is not None and remote is not None:
        raise OneTarget("REV is of this repository, --remote of another", "choose one")
    part = _part(sample)
    with reading(context) as session:
        found = work.verify_remote(session, remote, part) if remote else work.verify(session, rev, part)
    _print(context, found)
    return 0 if found.sound else DAMAGED


def _part(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = _SAMPLE.fullmatch(text)
    if match is None or int(match[1]) > int(match[2]):
        raise BadSample(f'"{text}" is not a part', "write 3/30 for the third of thirty")
    return int(match[1]), int(match[2])


def _print(context: Context, found: Findings) -> None:
    if context.json:
        damaged = [{"id": what, "reason": reason} for what, reason in found.damaged]
        out.emit_json(
            {"objects": found.objects, "bytes": found.bytes, "damaged": damaged, "missing": sorted(found.missing)}
        )
        return
    for what, reason in found.damaged:
        out.complain([f"damaged: {what}: {reason}"])
    for what in sorted(found.missing):
        out.complain([f"missing: {what}"])
    if found.sound:
        if not context.quiet:
            out.emit_text(f"{found.objects} objects, {found.bytes} bytes: sound")
    else:
        bad = len(found.damaged) + len(found.missing)
        out.complain([f"{found.objects} objects, {found.bytes} bytes: {bad} not sound"])
        out.hint(
            context, "get again what a remote has: prontosync fetch --repair; what a hub lost: prontosync push --repair"
        )
