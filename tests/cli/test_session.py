"""Errors become words or JSON, and an exit code, in one place."""

from __future__ import annotations

import json
from collections.abc import Callable

import click
import pytest

from prontosync import errors
from prontosync.cli import commands, output
from prontosync.cli import help as help_module
from prontosync.cli.command import Group, command
from prontosync.cli.context import Context
from prontosync.cli.escape import escape
from prontosync.cli.main import main
from prontosync.cli.signals import Terminated

Act = Callable[[Context], int | None]


@pytest.fixture
def acting(monkeypatch: pytest.MonkeyPatch) -> Callable[[Act], None]:
    """Make ``prontosync act`` do what the test says."""

    def install(act: Act) -> None:
        monkeypatch.setitem(commands.COMMANDS, "act", commands.Entry("help", "act", "act", "help"))

        @command("act", exits=(1,))
        def acted(context: Context) -> int | None:
            """Act."""
            return act(context)

        monkeypatch.setattr(help_module, "act", acted, raising=False)

    return install


def raising(error: BaseException) -> Act:
    def act(context: Context) -> int | None:
        raise error

    return act


FAMILIES = [
    family for family in vars(errors).values() if isinstance(family, type) and issubclass(family, errors.ProntoError)
]


@pytest.mark.parametrize("family", FAMILIES, ids=[family.__name__ for family in FAMILIES])
def test_each_family_has_its_exit_code(
    family: type[errors.ProntoError], acting: Callable[[Act], None], capsys: pytest.CaptureFixture[str]
) -> None:
    acting(raising(family('no "x"', "try y")))
    assert main(["act"]) == family.exit
    assert capsys.readouterr() == ("", 'prontosync: no "x"\nhint: try y\n')
    assert main(["act", "--json"]) == family.exit
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err) == {"error": family.id, "message": 'no "x"', "hint": "try y", "exit": family.exit}


def test_foreign_text_in_an_error_is_escaped(acting: Callable[[Act], None], capsys: pytest.CaptureFixture[str]) -> None:
    acting(raising(errors.NotFound('no table "\x1b[2J\u202e\nprontosync: all is well"')))
    assert main(["act"]) == 17
    assert capsys.readouterr().err == 'prontosync: no table "\\x1b[2J\\u202e\\nprontosync: all is well"\n'


def test_an_answer_is_an_exit_code(acting: Callable[[Act], None]) -> None:
    acting(lambda context: 1)
    assert main(["act"]) == 1
    acting(lambda context: None)
    assert main(["act"]) == 0


def test_any_other_exception_is_a_bug(acting: Callable[[Act], None], capsys: pytest.CaptureFixture[str]) -> None:
    acting(raising(KeyError("price")))
    assert main(["act"]) == 70
    captured = capsys.readouterr()
    assert captured.err.startswith("prontosync: a bug in this program: KeyError: 'price'\nhint: ")
    assert "Traceback" not in captured.err
    assert main(["--verbose", "act"]) == 70
    assert "Traceback (most recent call last):" in capsys.readouterr().err
    assert main(["act", "--json"]) == 70
    assert json.loads(capsys.readouterr().err)["error"] == "bug"


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (Terminated(), 143), (click.Abort(), 130)])
def test_interruptions(
    error: BaseException, code: int, acting: Callable[[Act], None], capsys: pytest.CaptureFixture[str]
) -> None:
    acting(raising(error))
    assert main(["act"]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error(
    acting: Callable[[Act], None], capsys: pytest.CaptureFixture[str]
) -> None:
    acting(raising(output.ReaderGone()))
    assert main(["act"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        (["conflcts"], 'no command "conflcts"', 'did you mean "conflicts"'),
        (["xyzzy"], 'no command "xyzzy"', "prontosync help"),
        (["help", "xyzzy"], 'no command "xyzzy"', "prontosync help"),
        (["version", "--jsom"], 'no option "--jsom"', 'did you mean "--json"'),
        (["version", "--quiet"], 'no option "--quiet"', '"--quiet" goes before the command\'s name'),
        (
            ["completion"],
            'missing argument "SHELL"; choose from bash, zsh, fish',
            "prontosync help completion",
        ),
        (["version", "extra"], "got unexpected extra argument (extra)", "prontosync help version"),
        (["-C"], 'option "-C" requires an argument', "prontosync help"),
    ],
)
def test_usage_errors(args: list[str], message: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"prontosync: {escape(message)}\nhint: {hint}\n"
    assert main([*args, "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["exit"] == 2


def test_no_command_shows_the_help_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Usage: prontosync ")


def test_a_group_holds_commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(commands.COMMANDS, "act", commands.Entry("help", "act", "act on things", "help"))
    group = Group("act", help="Act on things.")

    @command("now", summary="act at once", within=group)
    def now(context: Context) -> None:
        """Act at once."""
        output.emit_json({"quiet": context.quiet, "json": context.json})

    monkeypatch.setattr(help_module, "act", group, raising=False)
    assert main(["--quiet", "act", "now", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"quiet": True, "json": True}
    assert main(["help", "act", "now"]) == 0
    assert "Usage: prontosync act now" in capsys.readouterr().out
    assert main(["act", "nwo"]) == 2
    assert capsys.readouterr().err == 'prontosync: no command "nwo"\nhint: did you mean "now"\n'
    assert main(["act"]) == 2
    assert "now" in capsys.readouterr().err


def test_a_bad_clock_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PRONTOSYNC_DATE", "soon")
    assert main(["version", "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["error"] == "usage"
