"""What was measured, by step and by who took it."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.benchmarks.meter import Figure


@dataclass
class Results:
    """Figures stand in the order of the runs, so that those of two peers can be paired."""

    figures: dict[str, dict[str, list[Figure]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    facts: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    listings: dict[str, list[str]] = field(default_factory=dict)

    def add(self, step: str, name: str, figure: Figure) -> None:
        self.figures[step][name].append(figure)

    def fail(self, step: str, name: str, reason: str) -> None:
        self.failures[step, name] = reason

    def know(self, fact: str, name: str, value: float) -> None:
        """A number that is not measured again and again, such as a size."""
        self.facts[fact][name] = value

    def fact(self, fact: str, name: str) -> float | None:
        return self.facts.get(fact, {}).get(name)

    def median(self, step: str, name: str) -> Figure | None:
        """Each of its numbers is a median of its own, but for memory: the most there ever was."""
        found = self.figures.get(step, {}).get(name)
        if not found:
            return None
        middle: Callable[[list[float]], float] = statistics.median
        return Figure(
            middle([figure.wall for figure in found]),
            middle([figure.cpu for figure in found]),
            max(figure.memory for figure in found),
            round(middle([figure.sent for figure in found])),
            round(middle([figure.received for figure in found])),
        )

    def ratio(self, step: str, name: str, other_step: str, other: str) -> float | None:
        """The median of the wall times' ratios, run by run."""
        ours, theirs = self.figures.get(step, {}).get(name), self.figures.get(other_step, {}).get(other)
        if not ours or not theirs:
            return None
        return statistics.median(mine.wall / its.wall for mine, its in zip(ours, theirs, strict=False))

    def total(self, step: str, name: str) -> Figure | None:
        """All of them one after the other."""
        found = self.figures.get(step, {}).get(name)
        if not found:
            return None
        whole = found[0]
        for figure in found[1:]:
            whole = whole.then(figure)
        return whole

    def peak(self, *names: str) -> tuple[int, str]:
        """The most memory that any step of theirs took, and which step."""
        found = [
            (figure.memory, step)
            for step, by_name in self.figures.items()
            for name in names
            for figure in by_name.get(name, [])
        ]
        return max(found, default=(0, ""))
