"""Habits that a test can hold: sizes, names, and no silent way around the checks."""

from __future__ import annotations

import ast
import re

from tests.project.code import PACKAGE, PROJECT, modules

FUNCTION_LINES = 80
FILE_LINES = 500
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc"}


def test_no_function_is_too_long() -> None:
    long = [
        f"prontosync/{path}: {node.name} has {length} lines"
        for path, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
    ]
    assert long == []


def test_no_file_is_too_long() -> None:
    sizes = {path: len((PACKAGE / path).read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert {path: size for path, size in sizes.items() if size > FILE_LINES} == {}


def test_every_file_is_named_for_what_it_holds() -> None:
    files = [*PACKAGE.rglob("*"), *(PROJECT / "tests").rglob("*.py")]
    assert [path for path in files if path.stem in NAMELESS] == []


def test_no_check_is_switched_off_wholesale() -> None:
    blanket = re.compile(r"#\s*(type:\s*ignore(?!\[)|noqa(?!:\s*[A-Z])|mypy:\s*ignore|ruff:\s*noqa(?!:\s*[A-Z]))")
    found = [
        f"prontosync/{path}:{number}"
        for path in modules()
        for number, line in enumerate((PACKAGE / path).read_text(encoding="utf-8").splitlines(), 1)
        if blanket.search(line)
    ]
    assert found == []


def test_only_cli_speaks() -> None:
    # A child process of ours, a module named for it, answers its parent through its standard output.
    found = [
        f"prontosync/{path}:{node.lineno}"
        for path, tree in modules().items()
        if not path.startswith(("cli/", "dashboard/")) and not path.endswith("_child.py")
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id in {"print", "input"})
        or (isinstance(node, ast.Attribute) and node.attr in {"stdout", "stderr"} and _is_sys(node.value))
    ]
    assert found == []


def _is_sys(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "sys"
