"""A command to be measured: one whole process, and what it is given."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType


@dataclass(frozen=True)
class Command:
    """``fine`` are the exit codes that mean success. Standard output goes to ``output``, or nowhere."""

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    fine: frozenset[int] = frozenset({0})
    output: Path | None = None


Variables = Mapping[str, str]
NONE: Variables = MappingProxyType({})


def command(
    *words: str | Path, fine: tuple[int, ...] = (0,), output: Path | None = None, variables: Variables = NONE
) -> Command:
    """The command of these words, with ``variables`` added to its environment."""
    return Command(tuple(str(word) for word in words), variables, frozenset(fine), output)


def shell(script: str, *values: str | Path, variables: Variables = NONE) -> Command:
    """A script in which each ``{}`` is one of the values, quoted. It ends at the first command that fails."""
    quoted = [shlex.quote(str(value)) for value in values]
    return command("bash", "-c", f"set -e -o pipefail\n{script.format(*quoted)}", variables=variables)


def module(name: str, *words: str | Path, output: Path | None = None, variables: Variables = NONE) -> Command:
    """A program of this package, by its module's name."""
    root = str(Path(__file__).parents[2])
    return command(sys.executable, "-m", name, *words, output=output, variables={"PYTHONPATH": root, **variables})
