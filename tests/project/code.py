"""The program's source as trees, for the tests that hold its habits."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "prontosync"


@cache
def modules() -> dict[str, ast.Module]:
    """Every module's path below ``prontosync``, such as ``disk/files.py``, and its tree."""
    return {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def imports(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full name of everything the module imports, wherever in it; by ``import_module("…")`` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(path, node)
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _is_dynamic(node.func):
            yield node.lineno, _text(node.args[0]) if node.args else ""


def room(path: str) -> str:
    """``disk`` for ``disk/files.py``, ``errors`` for ``errors.py``."""
    return path.split("/", maxsplit=1)[0].removesuffix(".py")


def _origin(path: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = ["prontosync", *path.removesuffix(".py").split("/")]
    return ".".join([*parts[: -node.level], *([node.module] if node.module else [])])


def _is_dynamic(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in {"import_module", "__import__"}


def _text(node: ast.expr) -> str:
    """A literal, or the literal start of an f-string."""
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    return str(node.value) if isinstance(node, ast.Constant) else ""
