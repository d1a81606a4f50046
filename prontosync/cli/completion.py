"""The script that a shell sources to complete our words."""

from __future__ import annotations

from click.shell_completion import BashComplete, get_completion_class

from prontosync.cli.root import root
from prontosync.cli.session import COMPLETE_VARIABLE, PROGRAM


def script(shell: str) -> str:
    """``shell`` is bash, zsh or fish."""
    found = get_completion_class(shell)
    assert found is not None, shell
    complete = found(root, {}, PROGRAM, COMPLETE_VARIABLE)
    if isinstance(complete, BashComplete):  # its source() runs bash to ask for its version, and complains without one
        return str(complete.source_template % complete.source_vars())
    return complete.source()
