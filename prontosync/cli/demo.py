"""The demo."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from prontosync.cli import output
from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.errors import UsageError

DEFAULT = "prontosync-demo"


class FolderTaken(UsageError):
    id = "folder-taken"


@command("demo", examples=("prontosync demo ../play",), exits=(17,))
@click.argument("folder", metavar="[DIR]", default=DEFAULT, help=f"A new or empty folder. Default: {DEFAULT}.")
@click.option("--sftp", is_flag=True, help="Put the hubs behind an OpenSSH server on this machine, for the time of it.")
def demo(context: Context, folder: str, sftp: bool) -> None:
    """Play a day of a small chain: head office and two shoe stores, with real databases, hubs and commands.

    Both stores sell the last pair while their link is down, and note different phone numbers of one customer; head
    office changes a price. In the evening they sync. Every command is shown with its output, what came of it is checked
    against what must come of it, and the folder is left to play with.
    """
    from prontosync.cli.demo_server import running_server
    from prontosync.cli.demo_stage import Stage
    from prontosync.cli.demo_story import Story

    top = context.start / folder
    _make_folder(top, folder)
    stage = Stage(context, top)
    with ExitStack() as stack:
        server = stack.enter_context(running_server(top / "server", top / "hubs")) if sftp else None
        (top / "hubs").mkdir()
        Story(stage, server).play()
    if context.json:
        output.emit_json({"folder": str(top), "commands": stage.commands, "checks": stage.checks})
    else:
        output.emit_text(_ending(top, sftp))


def _make_folder(top: Path, named: str) -> None:
    """Raises FolderTaken where something is in it."""
    hint = "name a folder that does not exist yet: prontosync demo DIR"
    try:
        top.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise FolderTaken(f'"{named}" is not a folder', hint) from None
    except OSError as error:
        raise FolderTaken(f'"{named}" cannot be made: {(error.strerror or str(error)).lower()}', hint) from error
    if any(top.iterdir()):
        raise FolderTaken(f'"{named}" is not empty', hint)


def _ending(top: Path, sftp: bool) -> str:
    again = f"  $(which sshd) -D -f {top}/server/sshd_config &   # the hubs' server\n" if sftp else ""
    return f"""
All of it is left in {top}; go on from here:
{again}  cd {top}/store-012
  prontosync status
  prontosync log --graph
  prontosync diff morning HEAD
  prontosync sql "SELECT * FROM ticket"
  sqlite3 pos.db "UPDATE stock SET on_hand = 9 WHERE product_id = 102"; prontosync diff; prontosync sync
  prontosync help"""
