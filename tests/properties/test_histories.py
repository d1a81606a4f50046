"""Real repositories and the dict model through the same histories: after each event both say the same."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prontosync.engine.connection import Engine
from tests.fixtures.histories import ACTIONS, History, Step

STEPS = st.lists(
    st.builds(Step, st.integers(0, 2), st.sampled_from(ACTIONS), st.integers(0, 999), st.integers(0, 999)),
    min_size=5,
    max_size=40,
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as shared:
        yield shared


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_real_repositories_do_what_the_model_says(engine: Engine, steps: list[Step]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="histories-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    try:
        history = History(folder, engine)
        for step in steps:
            history.play(step)
        history.settle()
    finally:
        shutil.rmtree(folder)
