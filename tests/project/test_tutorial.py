"""The tutorial's commands do what the tutorial says."""

from __future__ import annotations

from pathlib import Path

from tests.fixtures.transcripts import normal, played

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"


def test_every_command_of_the_tutorial_prints_what_it_shows() -> None:
    steps = list(played(TUTORIAL.read_text(encoding="utf-8")))
    assert len(steps) > 30
    for step, output in steps:
        assert normal(output) == normal(step.output), step.command
