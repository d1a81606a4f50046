"""All commands, those inside groups included."""

from __future__ import annotations

import click

from prontosync.cli.command import Command
from prontosync.cli.commands import COMMANDS
from prontosync.cli.root import root


def every_command() -> list[tuple[str, Command]]:
    """Pairs of a name as typed after ``prontosync``, such as ``remote add``, and the command."""
    context = root.make_context("prontosync", [], resilient_parsing=True)
    found: list[tuple[str, Command]] = []
    for name in COMMANDS:
        command = root.get_command(context, name)
        if isinstance(command, click.Group):
            found += [(f"{name} {below}", _ours(each)) for below, each in command.commands.items()]
        else:
            found.append((name, _ours(command)))
    return found


def _ours(command: click.Command | None) -> Command:
    assert isinstance(command, Command), f"{command} was not made by @command"
    return command
