"""The root of the command line: the global options, and the one lazy look-up of a command."""

from __future__ import annotations

import importlib

import click
from click.exceptions import NoSuchCommand
from click.shell_completion import CompletionItem

from prontosync import __version__
from prontosync.cli import output
from prontosync.cli.command import Group
from prontosync.cli.commands import COMMANDS, SECTIONS
from prontosync.cli.context import from_environment
from prontosync.cli.progress import TerminalProgress


class RootGroup(Group):
    """Lists its commands from the table and imports a command's module only when that command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        found = getattr(importlib.import_module(f"prontosync.cli.{entry.module}"), entry.attribute)
        assert isinstance(found, click.Command), f"{entry.module}.{entry.attribute} is no command"
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in SECTIONS:
            rows = [(name, entry.summary) for name, entry in COMMANDS.items() if entry.section == section]
            if rows:
                with formatter.section(section.capitalize()):
                    formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [
            CompletionItem(name, help=entry.summary) for name, entry in COMMANDS.items() if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


def _show_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        output.emit_text(f"prontosync {__version__}")
        ctx.exit()


@click.group(cls=RootGroup, name="prontosync", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-C", "directory", metavar="DIR", help="Look for the repository from DIR instead of here.")
@click.option("-q", "--quiet", is_flag=True, help="No notes and no progress; errors are still printed.")
@click.option("-v", "--verbose", is_flag=True, help="Say more; print the traceback of a bug.")
@click.option("--no-color", is_flag=True, help="No colours, as with NO_COLOR in the environment.")
@click.option("--no-progress", is_flag=True, help="No progress, which is only ever shown on a terminal.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Print the version."
)
@click.pass_context
def root(
    ctx: click.Context, directory: str | None, quiet: bool, verbose: bool, no_color: bool, no_progress: bool
) -> None:
    """Git for the databases of a chain of stores.

    Each store keeps selling into its own database. ProntoSync takes snapshots of it, carries them over an SFTP hub,
    and merges what other places did, row by row and cell by cell.

    "prontosync help COMMAND" explains a command. The data goes to standard output, all talk to standard error, and
    the exit code says what happened.
    """
    ctx.obj = from_environment(
        directory=directory, quiet=quiet, verbose=verbose, no_color=no_color, no_progress=no_progress
    )
    if isinstance(ctx.obj.progress, TerminalProgress):
        ctx.with_resource(output.below_all(ctx.obj.progress))
