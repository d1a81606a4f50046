"""A shop on real repositories and on the model: every rule, flow and constraint, edits, decisions and failures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from prontosync.engine.connection import Engine
from tests.fixtures.shop_histories import played


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as shared:
        yield shared


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(st.integers(0, 10**6))
def test_a_shop_is_at_rest_where_the_model_says(engine: Engine, seed: int) -> None:
    played(seed, engine, steps=24)
