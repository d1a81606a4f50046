"""The program's entry: from the process (arguments, signals, open files) to an exit code.

Imports little, so that an interrupt is heeded from the first moment.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from prontosync.cli.signals import Terminated, heeded


def run() -> NoReturn:
    """The ``prontosync`` command of the shell."""
    sys.exit(main(sys.argv[1:]))


def main(args: list[str]) -> int:
    """Run one command line and return its exit code. Raises nothing."""
    _occupy_standard_files()
    try:
        with heeded():
            from prontosync.cli.session import execute

            return execute(args)
    except KeyboardInterrupt:
        return 130
    except Terminated:
        return 143


def _occupy_standard_files() -> None:
    """A descriptor below 3 that is closed would be given to the next file opened, and a stray word would land in it."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            return
