"""The commands about the program itself: help, completion, version."""

from __future__ import annotations

import platform
from dataclasses import asdict

import click
from click.exceptions import NoSuchCommand

from prontosync import __version__
from prontosync.cli import output
from prontosync.cli.command import command
from prontosync.cli.context import Context


@command("help", examples=("prontosync help", "prontosync help version"))
@click.argument("words", nargs=-1, metavar="[COMMAND]...", help="A command's name; two words for one inside a group.")
def help_command(context: Context, words: tuple[str, ...]) -> None:
    """Show how a command is used: its arguments, options, examples and exit codes.

    Without a command, list them all.
    """
    from prontosync.cli.page import page_of

    found = _find(words)
    if context.json:
        output.emit_json(asdict(page_of(found)))
    else:
        output.emit_text(found.get_help())


@command("completion", examples=("prontosync completion bash",))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="SHELL", help="bash, zsh or fish.")
def completion(context: Context, shell: str) -> None:
    """Print the script that makes SHELL complete commands and options.

    \b
    bash: prontosync completion bash >~/.local/share/bash-completion/completions/prontosync
    zsh:  prontosync completion zsh >"${fpath[1]}/_prontosync"
    fish: prontosync completion fish >~/.config/fish/completions/prontosync.fish
    """
    from prontosync.cli.completion import script

    text = script(shell)
    if context.json:
        output.emit_json({"shell": shell, "script": text})
    else:
        output.emit_data([text.encode()])


@command("version", examples=("prontosync version", "prontosync version --json"))
def version(context: Context) -> None:
    """Print the version of this program, and with `--json` that of the Python that runs it."""
    if context.json:
        output.emit_json({"version": __version__, "python": platform.python_version()})
    else:
        output.emit_text(f"prontosync {__version__}")


def _find(words: tuple[str, ...]) -> click.Context:
    """The context of the command that the words name. Raises click's ``NoSuchCommand``."""
    context = click.get_current_context().find_root()
    for word in words:
        inside = context.command
        found = inside.get_command(context, word) if isinstance(inside, click.Group) else None
        if found is None:
            names = inside.list_commands(context) if isinstance(inside, click.Group) else []
            raise NoSuchCommand(word, possibilities=names, ctx=context)
        context = click.Context(found, info_name=word, parent=context)
    return context
