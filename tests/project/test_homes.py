"""One home for each outside library, and one for what the machine around us says."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

import pytest

from tests.project.code import imports, modules

HOMES: dict[str, tuple[str, ...]] = {
    "adbc_driver_manager": ("sources/",),
    "adbc_driver_sqlite": ("sources/",),
    "adbc_driver_postgresql": ("sources/",),
    "blake3": ("model/ids.py",),
    "click": ("cli/",),
    "cryptography": ("trust/",),
    "duckdb": ("engine/",),
    "filelock": ("disk/",),
    "msgspec": ("model/", "disk/", "remote/"),
    "numpy": ("tables/",),
    "paramiko": ("remote/sftp",),
    "psycopg": ("sources/",),
    "pyarrow": ("tables/", "sources/", "history/", "engine/", "query/"),
    "rich": ("cli/bars.py",),
    "sqlite3": ("sources/",),
    "tomlkit": ("disk/config",),
}
"""Where a library may be imported, by how the path starts; one that is not listed may be imported nowhere."""

AMBIENT = {
    ("os", "environ"),
    ("os", "environb"),
    ("os", "getenv"),
    ("os", "getlogin"),
    ("sys", "argv"),
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "localtime"),
    ("time", "gmtime"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}
"""The environment, the arguments and the wall clock: ``cli`` reads them and hands values down."""


def strays(path: str, tree: ast.Module) -> Iterator[str]:
    for line, name in imports(path, tree):
        library = name.split(".")[0]
        if library == "prontosync" or (library in sys.stdlib_module_names and library not in HOMES) or not library:
            continue
        if not path.startswith(HOMES.get(library, ())):
            yield f"prontosync/{path}:{line}: {library} has no home here"


def ambient(path: str, tree: ast.Module) -> Iterator[str]:
    if path.startswith("cli/"):
        return
    for line, name in imports(path, tree):
        if tuple(name.split(".")[-2:]) in AMBIENT:
            yield f"prontosync/{path}:{line}: {name} is read in cli only"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (_last_name(node.value), node.attr) in AMBIENT:
            yield f"prontosync/{path}:{node.lineno}: {_last_name(node.value)}.{node.attr} is read in cli only"


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def test_libraries_are_at_home() -> None:
    assert [line for path, tree in modules().items() for line in strays(path, tree)] == []


def test_the_environment_and_the_clock_are_read_in_cli() -> None:
    assert [line for path, tree in modules().items() for line in ambient(path, tree)] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("workflow/sync.py", "def f():\n    import pyarrow as pa"),
        ("remote/folder.py", "from paramiko import Transport"),
        ("disk/objects.py", "import blake3"),
        ("disk/objects.py", "import sqlite3"),
        ("disk/refs.py", "import requests"),
    ],
)
def test_a_stray_library_is_seen(path: str, source: str) -> None:
    assert list(strays(path, ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.environ['HOME']",
        "from os import environ",
        "import datetime\ndatetime.datetime.now(datetime.UTC)",
        "from datetime import datetime\ndatetime.now()",
        "import time\ntime.time()",
        "from time import time",
        "import sys\nsys.argv",
    ],
)
def test_a_look_at_the_world_is_seen(source: str) -> None:
    assert list(ambient("history/diff.py", ast.parse(source)))
    assert not list(ambient("cli/context.py", ast.parse(source)))


def test_the_monotonic_clock_is_free() -> None:
    assert not list(ambient("remote/sftp.py", ast.parse("import time\ntime.monotonic()")))
