from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from prontosync.cli.context import Context, from_environment
from prontosync.errors import RepositoryError, UsageError
from prontosync.model.progress import SILENT


def made(**options: object) -> Context:
    given = {"directory": None, "quiet": False, "verbose": False, "no_color": False, "no_progress": False, **options}
    return from_environment(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-12-31T14:00:00Z", datetime(2026, 12, 31, 14, tzinfo=UTC)),
        ("2026-12-31t14:00:00.25-06:00", datetime(2026, 12, 31, 20, 0, 0, 250000, tzinfo=UTC)),
        ("2026-12-31 14:00:00+00:00", datetime(2026, 12, 31, 14, tzinfo=UTC)),
    ],
)
def test_the_clock_can_be_fixed(monkeypatch: pytest.MonkeyPatch, text: str, moment: datetime) -> None:
    monkeypatch.setenv("PRONTOSYNC_DATE", text)
    clock = made().clock
    assert clock() == clock() == moment
    assert clock().tzinfo is UTC


@pytest.mark.parametrize("text", ["yesterday", "2026-12-31", "2026-12-31T14:00:00", "2026-13-31T14:00:00Z", "20261231"])
def test_a_bad_clock_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PRONTOSYNC_DATE", text)
    with pytest.raises(UsageError, match="PRONTOSYNC_DATE"):
        made()


def test_without_it_the_clock_runs_in_utc() -> None:
    assert made().clock().tzinfo is UTC


def test_the_author(monkeypatch: pytest.MonkeyPatch) -> None:
    assert made().author
    monkeypatch.setenv("PRONTOSYNC_AUTHOR", "Anna Ñ")
    assert made().author == "Anna Ñ"


def test_the_start_is_absolute_and_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").mkdir()
    assert made().start == tmp_path
    assert made(directory="shop").start == tmp_path / "shop"
    with pytest.raises(RepositoryError, match="no folder"):
        made(directory="nowhere")


def test_no_colours_and_no_progress_without_a_terminal() -> None:
    context = made()
    assert not context.colour
    assert context.progress is SILENT
