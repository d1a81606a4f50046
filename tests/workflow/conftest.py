from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prontosync.engine.connection import Engine
from tests.fixtures.places import ITEM, ROWS, Chain, Place, Town, build_chain


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with Engine() as shared:
        yield shared


@pytest.fixture
def town(tmp_path: Path, engine: Engine) -> Town:
    """A hub and no place yet."""
    (tmp_path / "town").mkdir()
    return Town(tmp_path / "town", engine)


@pytest.fixture
def chain(tmp_path: Path, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Chain]:
    """Head office, and stores with the same start, as these statements make their databases."""

    def make(stores: int, *statements: str) -> Chain:
        names = ("one", "two", "three")[:stores]
        wanted = (names, statements or (ITEM, ROWS))
        if wanted not in _templates:
            top = tmp_path_factory.mktemp("chain") / "town"
            _templates[wanted] = build_chain(top, engine, *_arguments(wanted))
        town = Town(Path(shutil.copytree(_templates[wanted], tmp_path / "chain")), engine, made=True)
        return Place(town, "office"), [Place(town, name) for name in names]

    return make


_Wanted = tuple[tuple[str, ...], tuple[str, ...]]
_templates: dict[_Wanted, Path] = {}


def _arguments(wanted: _Wanted) -> tuple[object, ...]:
    return wanted[0], *wanted[1]
