"""The one direction: a room imports rooms below it, never one above or beside. Imports inside functions included."""

from __future__ import annotations

import ast

import pytest

from tests.project.code import PACKAGE, imports, modules, room

FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"__init__"}),
    frozenset({"errors"}),
    frozenset({"model"}),
    frozenset({"disk"}),
    frozenset({"engine"}),
    frozenset({"tables", "sources", "trust"}),
    frozenset({"history"}),
    frozenset({"remote", "query"}),
    frozenset({"workflow"}),
    frozenset({"cli", "dashboard"}),
    frozenset({"__main__"}),
)
"""From the bottom up; the rooms of one floor are unaware of each other."""

LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}


def violations(path: str, tree: ast.Module) -> list[str]:
    here = room(path)
    found = []
    for line, name in imports(path, tree):
        parts = name.split(".")
        if parts[0] != "prontosync":
            continue
        there = parts[1] if len(parts) > 1 and parts[1] in LEVEL else "__init__"
        if there != here and LEVEL[there] >= LEVEL[here]:
            found.append(f"prontosync/{path}:{line}: {here} must not import {name}")
    return found


def test_every_folder_and_module_is_on_the_list() -> None:
    present = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name[0] not in "._"}
    present |= {path.stem for path in PACKAGE.glob("*.py")}
    assert present <= LEVEL.keys(), f"not a room of the architecture: {sorted(present - LEVEL.keys())}"


def test_imports_point_down() -> None:
    assert [line for path, tree in modules().items() for line in violations(path, tree)] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("disk/files.py", "import prontosync.cli.main"),
        ("disk/files.py", "def f():\n    from prontosync import history"),
        ("disk/files.py", "def f():\n    from ..workflow import sync"),
        ("disk/files.py", "import importlib\nimportlib.import_module('prontosync.remote.sftp')"),
        ("tables/digest.py", "from prontosync.sources.contract import Source"),
        ("query/views.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import prontosync.remote"),
        ("errors.py", "from prontosync.model import ids"),
        ("workflow/sync.py", "import prontosync.cli"),
    ],
)
def test_an_import_upwards_is_seen(path: str, source: str) -> None:
    assert violations(path, ast.parse(source))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("disk/files.py", "from prontosync.model.ids import ObjectId\nfrom . import paths"),
        ("cli/main.py", "from prontosync import __version__\nfrom prontosync.workflow import sync"),
    ],
)
def test_an_import_downwards_is_fine(path: str, source: str) -> None:
    assert violations(path, ast.parse(source)) == []
