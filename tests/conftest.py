from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = [
    "tests.fixtures.data",
    "tests.fixtures.program",
    "tests.fixtures.store",
    "tests.fixtures.hubs",
    "tests.fixtures.chain",
]

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on who runs it or where."""
    for name in [name for name in os.environ if name.startswith(("PRONTOSYNC_", "_PRONTOSYNC_"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("NO_COLOR", raising=False)
