"""One command line, from its words to its exit code: the one place where an error becomes text or JSON."""

from __future__ import annotations

import os
import traceback
from contextlib import suppress

from click.exceptions import Exit

from prontosync.cli import output
from prontosync.cli.failure import failure_of
from prontosync.cli.root import root
from prontosync.cli.signals import Terminated

PROGRAM = "prontosync"
COMPLETE_VARIABLE = "_PRONTOSYNC_COMPLETE"


def execute(args: list[str]) -> int:
    """The exit code of ``prontosync ARGS``; everything there is to say has been written."""
    output.speak_utf8()
    try:
        code = _perform(args)
        output.finish()
    except output.ReaderGone:
        return 0
    except (Exception, KeyboardInterrupt, Terminated) as error:  # noqa: BLE001  # the border of the program
        return _report(error, args)
    return code


def _perform(args: list[str]) -> int:
    instruction = os.environ.get(COMPLETE_VARIABLE)
    if instruction:
        return _complete(instruction)
    try:
        with root.make_context(PROGRAM, list(args)) as context:
            result = root.invoke(context)
    except Exit as finished:
        return finished.exit_code
    return result if isinstance(result, int) else 0


def _complete(instruction: str) -> int:
    from click.shell_completion import shell_complete

    return shell_complete(root, {}, PROGRAM, COMPLETE_VARIABLE, instruction)


def _report(error: BaseException, args: list[str]) -> int:
    failure = failure_of(error)
    if _asked(args, "--json"):
        output.complain([output.encode_json(failure.as_json())])
    else:
        output.complain(failure.lines())
    if failure.is_bug and _asked(args, "-v", "--verbose"):
        output.complain("".join(traceback.format_exception(error)).splitlines())
    with suppress(Exception):  # one error was reported; its exit code stands
        output.finish()
    return failure.exit


def _asked(args: list[str], *spellings: str) -> bool:
    """Whether the words hold the option. The words, because an error may come before they are understood."""
    words = args[: args.index("--")] if "--" in args else args
    return any(spelling in words for spelling in spellings)
