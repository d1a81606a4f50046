"""What there is to know about a command, read from its click object: one value for help, man pages and docs."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import click

from prontosync.cli.command import Command
from prontosync.cli.root import RootGroup


@dataclass(frozen=True, slots=True)
class Page:
    """``name`` is the whole path, ``prontosync remote add``; ``synopsis`` is what follows it on a command line.

    ``arguments`` and ``options`` are pairs of spelling and help; ``commands`` are the pages of a group's commands.
    """

    name: str
    summary: str
    synopsis: str
    description: str
    arguments: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...]
    examples: tuple[str, ...]
    exits: dict[int, str]
    commands: tuple[Page, ...]

    @property
    def stem(self) -> str:
        """The name with dashes, as files are called: ``prontosync-remote-add``."""
        return self.name.replace(" ", "-")


def page_of(context: click.Context) -> Page:
    """The page of the context's command. Commands of the root group are not included: each has a page of its own."""
    command = context.command
    parameters = command.get_params(context)
    options = [record for p in parameters if isinstance(p, click.Option) and (record := p.get_help_record(context))]
    arguments = [p.get_help_record(context) for p in parameters if isinstance(p, click.Argument)]
    return Page(
        name=context.command_path,
        summary=command.short_help or "",
        synopsis=" ".join(command.collect_usage_pieces(context)),
        description=inspect.cleandoc(command.help or ""),
        arguments=tuple(arguments),
        options=tuple(options),
        examples=command.examples if isinstance(command, Command) else (),
        exits=command.exit_codes() if isinstance(command, Command) else {},
        commands=_inner(context),
    )


def _inner(context: click.Context) -> tuple[Page, ...]:
    command = context.command
    if not isinstance(command, click.Group) or isinstance(command, RootGroup):
        return ()
    inner = [command.commands[name] for name in command.list_commands(context)]
    return tuple(page_of(click.Context(each, info_name=each.name, parent=context)) for each in inner)
