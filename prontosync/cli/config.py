"""The group ``config``: the file prontosync.toml, read and edited key by key."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import click

from prontosync.cli import output as out
from prontosync.cli.command import command, group
from prontosync.cli.context import Context
from prontosync.cli.escape import escape
from prontosync.cli.world import changing
from prontosync.errors import UsageError

config = group(
    "config",
    description="""
    Read and change the configuration, prontosync.toml.

    What may stand there is in prontosync-config(5). An edit keeps comments and order, and is refused where the file
    would not load afterwards.
    """,
)


_KEY = click.argument(
    "key", metavar="KEY", help='A key as TOML writes it: source.url, table.stock.flow, table."odd name".key.'
)


@command(
    "get",
    summary="print the value of a key",
    within=config,
    examples=("prontosync config get source.url",),
    exits=(10, 17),
)
@_KEY
def config_get(context: Context, key: str) -> None:
    """Print the value of KEY. One that is not set is 17, and the hint says what holds instead."""
    from prontosync.disk.config_edit import NotSet, get_value

    value = get_value(_file(context), key)
    if value is None:
        raise NotSet(f'"{key}" is not set', _default(key))
    if context.json:
        out.emit_json({"key": key, "value": value})
    else:
        out.emit_text(escape(value))


@command(
    "set",
    summary="set a key",
    within=config,
    examples=(
        "prontosync config set source.max_deletes 5%",
        "prontosync config set table.stock.columns.on_hand sum",
        "prontosync config set invariant.sold.table stock invariant.sold.sql 'SELECT * FROM merged.stock WHERE n < 0'",
    ),
    exits=(10, 11, 13, 16),
)
@_KEY
@click.argument("value", metavar="VALUE", help='The value; a list is written ["a", "b"].')
@click.argument("more", metavar="[KEY VALUE]...", nargs=-1, help="More keys, set in the same step.")
def config_set(context: Context, key: str, value: str, more: tuple[str, ...]) -> None:
    """Set KEY to VALUE.

    A rule of merging that contradicts those of head office is refused (10): its rules hold everywhere.
    """
    from prontosync.disk.config_edit import set_values
    from prontosync.disk.config_values import key_path
    from prontosync.workflow.rules import check_edit

    if len(more) % 2:
        raise UsageError(f'"{more[-1]}" has no value', "write each key with its value")
    values = {key: value, **dict(zip(more[::2], more[1::2], strict=True))}
    path = _file(context)
    with changing(context) as session:
        keys = [key_path(each) for each in values]
        set_values(path, values, lambda config: check_edit(session, config, keys))
    if context.json:
        said = [{"key": each, "value": text} for each, text in values.items()]
        out.emit_json(said if more else said[0])


@command(
    "list", summary="print every key that is set", within=config, examples=("prontosync config list",), exits=(10,)
)
def config_list(context: Context) -> None:
    """Print every key that is set, as KEY = VALUE."""
    from prontosync.disk.config_edit import list_values

    values = list_values(_file(context))
    if context.json:
        out.emit_json(values)
    else:
        out.emit_text("\n".join(escape(f"{key} = {value}") for key, value in values.items()))


@command(
    "unset",
    summary="take a key out",
    within=config,
    examples=("prontosync config set source.apply false && prontosync config unset source.apply",),
    exits=(10, 11, 13, 16, 17),
)
@_KEY
def config_unset(context: Context, key: str) -> None:
    """Take KEY out, so that its default holds again."""
    from prontosync.disk.config_edit import unset

    path = _file(context)
    with _locked(context):
        unset(path, key)
    if context.json:
        out.emit_json({"key": key, "value": None})


def _file(context: Context) -> Path:
    from prontosync.disk.repository import find

    return find(context.start).config_path


def _locked(context: Context) -> AbstractContextManager[None]:
    """The repository's lock; the configuration itself may be broken, and is not read."""
    from prontosync.disk.repository import find

    return find(context.start).lock()


def _default(key: str) -> str:
    from prontosync.disk.config_file import find_key
    from prontosync.disk.config_values import key_path

    default = find_key(key_path(key)).default
    return f"the default is {default}" if default is not None else f"prontosync config set {key} VALUE"
