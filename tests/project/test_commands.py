"""What every command owes its users: a summary, help on each parameter, known exit codes, ``--json``."""

from __future__ import annotations

import click
import pytest

from prontosync.cli.command import Command
from prontosync.cli.commands import COMMANDS, SECTIONS
from prontosync.cli.root import root
from prontosync.errors import EXIT_CODES
from tests.project.registry import every_command

ALL = every_command()


def test_the_table_is_in_order() -> None:
    for name, entry in COMMANDS.items():
        assert entry.section in SECTIONS, name
        assert entry.summary[:1].islower(), name
        assert not entry.summary.endswith("."), name
        assert "\n" not in entry.summary, name


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_leads_to_the_command(name: str) -> None:
    command = root.get_command(click.Context(root), name)
    assert command is not None
    assert command.name == name
    assert command.short_help == COMMANDS[name].summary


@pytest.mark.parametrize(("name", "command"), ALL, ids=[name for name, _ in ALL])
def test_the_command_explains_itself(name: str, command: Command) -> None:
    assert command.help
    assert command.short_help
    assert command.callback is not None
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name}: {parameter.name} has no help"
    assert any("--json" in parameter.opts for parameter in command.params)
    assert set(command.exits) <= EXIT_CODES.keys()


def test_the_global_options_explain_themselves() -> None:
    for parameter in root.params:
        assert getattr(parameter, "help", None), parameter.name
