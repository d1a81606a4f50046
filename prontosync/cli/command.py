"""What a command of this program is: click's, with ``--json``, examples that a test runs, and its exit codes."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import click

from prontosync.cli import output
from prontosync.cli.commands import COMMANDS
from prontosync.cli.context import Context
from prontosync.errors import EXIT_CODES

Callback = Callable[..., int | None]
"""Takes the ``Context`` and the parameters, and returns an exit code; ``None`` is 0."""

ALWAYS = (0, 2, 70, 130, 143)
"""The exit codes that every command may return."""


class HelpPage(click.Command):
    """Its ``--help`` is written as all output is, so that a closed or full standard output is met in one place."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option


class Command(HelpPage):
    """``examples`` are shell lines; ``exits`` are the exit codes it may return besides ``ALWAYS``."""

    def __init__(self, *args: Any, examples: tuple[str, ...] = (), exits: tuple[int, ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.exits = exits
        self.params.append(_json_option())

    def exit_codes(self) -> dict[int, str]:
        """Every code it may return, with its meaning, in ascending order."""
        return {code: EXIT_CODES[code] for code in sorted({*ALWAYS, *self.exits})}

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in self.exit_codes().items()])


class Group(HelpPage, click.Group):
    """A command that only holds others, such as ``remote``; they are listed in the order of their definition.

    ``default`` names the one that is meant where the words name none.
    """

    def __init__(self, *args: Any, default: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {*self.commands, *ctx.help_option_names}
        if self.default and not ctx.resilient_parsing and (not args or args[0] not in known):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def command(
    name: str,
    *,
    summary: str | None = None,
    examples: tuple[str, ...] = (),
    exits: tuple[int, ...] = (),
    within: Group | None = None,
) -> Callable[[Callback], Command]:
    """Make a function a command; its docstring is the long help, and its first parameter the ``Context``.

    The summary of a top-level command stands in the table of ``commands.py``; one ``within`` a group brings its own.
    """

    def decorate(function: Callback) -> Command:
        made = click.command(
            name,
            cls=Command,
            help=inspect.getdoc(function),
            short_help=summary or COMMANDS[name].summary,
            examples=examples,
            exits=exits,
        )(click.pass_obj(function))
        if within is not None:
            within.add_command(made)
        return made

    return decorate


def group(name: str, *, description: str, default: str | None = None) -> Group:
    """A top-level command that holds others; its summary stands in the table of ``commands.py``."""
    return Group(name, default=default, help=inspect.cleandoc(description), short_help=COMMANDS[name].summary)


def _show_help(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        output.emit_text(ctx.get_help())
        ctx.exit()


def _json_option() -> click.Option:
    return click.Option(
        ["--json"],
        is_flag=True,
        expose_value=False,
        callback=_choose_json,
        help="Print the result, or the error, as JSON.",
    )


def _choose_json(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and isinstance(ctx.obj, Context):
        ctx.obj = dataclasses.replace(ctx.obj, json=True)
