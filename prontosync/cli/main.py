"""The program's entry: from the process (arguments, signals, open files) to an exit code.

Imports little, so that an interrupt is heeded from the first moment.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

from prontosync.cli.signals import Terminated, heeded


def run() -> NoReturn:
    """The ``prontosync`` command of the shell."""
    # NumPy comes with Arrow, and its threads for algebra, of which we do none, cost 50 ms of CPU at every start.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Loading libraries makes tens of thousands of objects and no garbage; looking for it there costs 10 ms, and at the
    # end 15 to 40 ms more. DuckDB wants that last look: its binding complains of every object that is left.
    gc.set_threshold(50_000)
    code = main(sys.argv[1:])
    if "duckdb" not in sys.modules:
        gc.freeze()
    sys.exit(code)


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
