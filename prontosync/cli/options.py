"""The options that several commands share, each with one name, one meaning and one help text."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from prontosync.cli.context import Context

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]

REV_HELP = 'A revision: a branch, a tag, "HEAD~2", an id, "office/main", "HEAD@{yesterday}"'


def rev_argument(
    name: str = "rev", *, default: str | None = "HEAD", required: bool = False, live: bool = False
) -> Decorator[Any]:
    """A revision, as text. ``live`` says in the help that LIVE, the live database, is taken too."""
    text = REV_HELP + (', or "LIVE".' if live else ".")
    if required:
        return click.argument(name, metavar=name.upper(), help=text)
    shown = f"{text} Default: {default}." if default else text
    return click.argument(name, metavar=f"[{name.upper()}]", required=False, default=default, help=shown)


def table_option(*, multiple: bool = False) -> Decorator[Any]:
    """``--table``; as ``tables: tuple[str, ...]`` where it may be given several times, else ``table: str | None``."""
    if multiple:
        text = "Only this table; may be given several times."
        return click.option("--table", "tables", metavar="TABLE", multiple=True, help=text)
    return click.option("--table", metavar="TABLE", help="Only this table.")


def key_option() -> Decorator[Any]:
    """``--key``, as text: the room that knows the table's key reads it."""
    text = 'Only the row with this key: "12,991" in key order, "store_id=12,product_id=991", or a JSON object.'
    return click.option("--key", metavar="KEY", help=text)


def connection_options(function: F) -> F:
    """``identity``, ``known_hosts`` and ``fingerprint``, each ``str | None``."""
    for decorate in (
        click.option("--fingerprint", metavar="FP", help='The host key\'s fingerprint, "SHA256:…".'),
        click.option("--known-hosts", metavar="FILE", help="The file of host keys to trust."),
        click.option("--identity", metavar="FILE", help="The private key to log in with."),
    ):
        function = decorate(function)
    return function


def output_option(function: F) -> F:
    """``output: str | None``, to be handed to the ``to`` of ``output.emit_…``."""
    text = 'Write to FILE, replaced in one step, instead of standard output; "-" is standard output.'
    return click.option("-o", "--output", metavar="FILE", help=text, callback=_placed)(function)


def format_option(*names: str) -> Decorator[Any]:
    """``--format``, as ``format_name: str``; the first name is the default. ``--json`` is a separate flag."""
    return click.option(
        "--format",
        "format_name",
        type=click.Choice(names),
        default=names[0],
        show_default=True,
        help="How to print it.",
    )


def message_option(function: F) -> F:
    """``message: str | None``."""
    return click.option("-m", "--message", metavar="MSG", help="What the commit says of itself.")(function)


def allow_deletes_option(function: F) -> F:
    """``allow_deletes: tuple[str, ...]``."""
    text = "Let this table lose more rows than max_deletes allows; may be given several times."
    return click.option("--allow-deletes", metavar="TABLE", multiple=True, help=text)(function)


def plan_option(function: F) -> F:
    """``plan: bool``, and ``--wide``."""
    text = "Print what would be written to the live database, row by row, and change nothing."
    for decorate in (wide_option("the whole plan"), click.option("--plan", is_flag=True, help=text)):
        function = decorate(function)
    return function


def wide_option(what: str) -> Decorator[Any]:
    """``--wide``, which a command finds as ``wide`` in its context; ``what`` is then shown whole."""
    text = f"On a terminal, show {what}: no cell is cut, nothing is left out. Elsewhere it always is."
    return click.option("--wide", is_flag=True, expose_value=False, callback=_choose_wide, help=text)


def _choose_wide(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and isinstance(ctx.obj, Context):
        ctx.obj = dataclasses.replace(ctx.obj, wide=True)


def explain_option(text: str) -> Decorator[Any]:
    """``--explain``, as ``explain: bool``."""
    return click.option("--explain", is_flag=True, help=text)


def with_schema_option(function: F) -> F:
    """``with_schema: bool``."""
    text = "Add the columns and make the tables that the live database lacks, in the same transaction as the rows."
    return click.option("--with-schema", is_flag=True, help=text)(function)


def _placed(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A path as the folder of -C means it; a slash at its end stays."""
    if value in {None, "-"} or not isinstance(ctx.obj, Context):
        return value
    return os.path.join(ctx.obj.start, value)
