"""An exception as its user sees it: an id, a message, a hint and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import click
from click.exceptions import NoArgsIsHelpError, NoSuchCommand

from prontosync.cli.signals import Terminated
from prontosync.errors import ProntoError

BUG = 70


@dataclass(frozen=True)
class Failure:
    """``text`` replaces message and hint where a whole page is shown, such as the help of a group."""

    id: str
    message: str
    hint: str | None
    exit: int
    text: str | None = None

    @property
    def is_bug(self) -> bool:
        return self.exit == BUG

    def as_json(self) -> dict[str, object]:
        return {"error": self.id, "message": self.message, "hint": self.hint, "exit": self.exit}

    def lines(self) -> Iterator[str]:
        """The lines for standard error, not yet escaped."""
        if self.text is not None:
            yield from self.text.split("\n")
            return
        yield f"prontosync: {self.message}"
        if self.hint is not None:
            yield f"hint: {self.hint}"


def failure_of(error: BaseException) -> Failure:
    """What to say of an exception, and with which exit code; whatever is not ours is a bug."""
    if isinstance(error, ProntoError):
        return Failure(error.id, error.message, error.hint, error.exit)
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return Failure("interrupted", "interrupted", None, 130)
    if isinstance(error, Terminated):
        return Failure("terminated", "terminated", None, 143)
    detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Failure("bug", f"a bug in this program: {detail}", "report it with what --verbose prints", BUG)


def _usage(error: click.ClickException) -> Failure:
    context = getattr(error, "ctx", None)
    if isinstance(error, NoArgsIsHelpError):
        return Failure("usage", "no command given", _help_of(context), 2, text=error.ctx.get_help())
    message, near = _message(error), getattr(error, "possibilities", None)
    if near:
        return Failure("usage", message, "did you mean " + " or ".join(f'"{name}"' for name in near), 2)
    if isinstance(error, click.NoSuchOption) and _is_global(error.option_name, context):
        return Failure("usage", message, f'"{error.option_name}" goes before the command\'s name', 2)
    return Failure("usage", message, _help_of(context), 2)


def _message(error: click.ClickException) -> str:
    if isinstance(error, NoSuchCommand):
        return f'no command "{error.command_name}"'
    if isinstance(error, click.NoSuchOption):
        return f'no option "{error.option_name}"'
    text = error.format_message().rstrip(".").replace("'", '"')
    text = text.replace(". Choose from:\n\t", "; choose from ").replace(",\n\t", ", ")
    return text[:1].lower() + text[1:]


def _help_of(context: click.Context | None) -> str:
    words = context.command_path.split()[1:] if context is not None else []
    return " ".join(["prontosync help", *words])


def _is_global(option: str, context: click.Context | None) -> bool:
    if context is None or context.parent is None:
        return False
    return any(option in parameter.opts for parameter in context.find_root().command.params)
