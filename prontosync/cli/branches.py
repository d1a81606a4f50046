"""Branches and tags: branch, tag, switch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prontosync.cli import output as out
from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.cli.grid import grid
from prontosync.cli.options import rev_argument
from prontosync.cli.outcome import DIGITS
from prontosync.cli.world import changing, reading
from prontosync.errors import UsageError

if TYPE_CHECKING:
    from prontosync.workflow.branches import Branch


class NameMissing(UsageError):
    id = "name-missing"


@command(
    "branch",
    examples=("prontosync branch --all", "prontosync branch before-sale HEAD~1", "prontosync branch --json"),
    exits=(10, 11, 13, 14, 17),
)
@click.argument("name", metavar="[NAME]", required=False, help="The branch to make. Without it, list them.")
@rev_argument()
@click.option("--all", "-a", "every", is_flag=True, help="List the remotes' branches too, as last fetched.")
@click.option("--delete", "-d", is_flag=True, help="Take the branch NAME away; its commits stay.")
def branch(context: Context, name: str | None, rev: str, every: bool, delete: bool) -> None:
    """List the branches, make one, or take one away.

    The current branch has a star. In a store, that is what the live database holds.
    """
    from prontosync.workflow import branches as work

    if name is None:
        _need_no(delete)
        with reading(context) as session:
            found = work.list_branches(session, every)
        _print_branches(context, found)
        return
    with changing(context) as session:
        if delete:
            _tell(context, "branch", name, work.delete_branch(session, name), gone=True)
        else:
            _tell(context, "branch", *work.create_branch(session, name, rev))


@command(
    "tag",
    examples=("prontosync tag", "prontosync tag stocktake-2026 HEAD~1", "prontosync tag --json"),
    exits=(10, 11, 13, 14, 17),
)
@click.argument("name", metavar="[NAME]", required=False, help="The tag to make. Without it, list them.")
@rev_argument()
@click.option("--delete", "-d", is_flag=True, help="Take the tag NAME away.")
def tag(context: Context, name: str | None, rev: str, delete: bool) -> None:
    """List the tags, make one, or take one away. A tag names a commit for good: it never moves."""
    from prontosync.workflow import branches as work

    if name is None:
        _need_no(delete)
        with reading(context) as session:
            tags = work.list_tags(session)
        if context.json:
            out.emit_json([{"name": one, "commit": commit} for one, commit in tags.items()])
        elif tags:
            out.emit_text(grid(("tag", "commit"), [(one, commit[:DIGITS]) for one, commit in tags.items()]))
        return
    with changing(context) as session:
        if delete:
            _tell(context, "tag", name, work.delete_tag(session, name), gone=True)
        else:
            _, commit = work.create_tag(session, name, rev)
            _tell(context, "tag", name, commit)


@command(
    "switch",
    examples=("prontosync -C ../mirror switch --create trial", "prontosync -C ../mirror switch main"),
    exits=(10, 11, 13, 14, 17),
)
@click.argument("name", metavar="BRANCH", help="The branch; one that only a remote has starts here where that is.")
@rev_argument()
@click.option("--create", "-c", is_flag=True, help="Make it, at REV.")
def switch(context: Context, name: str, rev: str, create: bool) -> None:
    """Make BRANCH the current one. Only without a live database: a store's branch is what its database holds (13)."""
    from prontosync.workflow import branches as work

    with changing(context) as session:
        ref, commit = work.switch(session, name, create, rev)
    if context.json:
        out.emit_json({"branch": ref, "commit": commit})
    else:
        out.note(
            context, f"now on branch {ref}" + (f" at {commit[:DIGITS]}" if commit else ", which has no commits yet")
        )


def _need_no(delete: bool) -> None:
    if delete:
        raise NameMissing("--delete needs a name", "prontosync branch, prontosync tag list them")


def _print_branches(context: Context, found: list[Branch]) -> None:
    if context.json:
        out.emit_json([_branch_json(one) for one in found])
        return
    rows = [
        ("*" if one.current else "", one.name, one.commit[:DIGITS] if one.commit else "no commits yet") for one in found
    ]
    out.emit_text(grid(("", "branch", "commit"), rows))


def _branch_json(one: Branch) -> dict[str, Any]:
    return {"name": one.name, "commit": one.commit, "current": one.current, "remote": one.remote}


def _tell(context: Context, what: str, name: str, commit: str, gone: bool = False) -> None:
    if context.json:
        out.emit_json({"name": name, "commit": commit, "deleted": gone})
    elif gone:
        out.note(context, f'{what} "{name}" is gone; it was at {commit}')
    else:
        out.note(context, f'{what} "{name}" is at {commit[:DIGITS]}')
