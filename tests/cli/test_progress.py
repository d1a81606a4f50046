"""Progress as it is seen: on a terminal, after a while, below everything else, and gone at the end."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import pytest

from prontosync.cli import output
from prontosync.cli.bars import Bars
from prontosync.cli.context import Context
from prontosync.cli.progress import Shown, TerminalProgress
from tests.fixtures.places import numbered
from tests.fixtures.program import run_program
from tests.fixtures.store import Store, store_of
from tests.fixtures.terminal import TERM, OnTerminal, Terminal

ROWS = 200_000
ITEM = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price INTEGER)"

_WITHOUT_RICH = """
import sys
from prontosync.cli.main import main
code = main(sys.argv[3:])
sys.exit(99 if "rich" in sys.modules or "prontosync.cli.bars" in sys.modules else code)
"""


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with one snapshot of many rows. Each test may snapshot again: that reads them all, and finds nothing."""
    store = store_of(tmp_path_factory.mktemp("big") / "shop", ITEM, numbered(1, ROWS))
    store.run("snapshot")
    return store


@pytest.fixture
def shown() -> Iterator[tuple[Terminal, TextIO]]:
    """A terminal, and the stream that writes to it."""
    with Terminal() as terminal:
        stream = open(os.dup(terminal.slave), "w", encoding="utf-8")  # noqa: SIM115  # a terminal may be gone by then
        yield terminal, stream
        with suppress(OSError):
            stream.close()


def _changed(big: Store) -> None:
    big.till("UPDATE item SET price = price + 1 WHERE id = 1")


def test_a_long_snapshot_is_told_and_leaves_nothing_behind(big: Store) -> None:
    _changed(big)
    with OnTerminal("snapshot", cwd=big.top) as run:
        run.terminal.until(lambda text: 'reading "item"' in text and "/200,000 rows" in text)
        assert run.finish() == 0
        assert run.terminal.untouched
        assert run.screen.coloured
        lines = run.screen.text.splitlines()
    assert lines[0].startswith("snapshot ")
    assert [line.split() for line in lines[1:]] == [
        ["table", "inserted", "updated", "deleted", "rows"],
        ["item", "0", "1", "0", "200000"],
    ]


def test_json_on_standard_output_is_unharmed(big: Store, tmp_path: Path) -> None:
    _changed(big)
    with open(tmp_path / "out", "wb") as out, OnTerminal("snapshot", "--json", cwd=big.top, stdout=out) as run:
        run.terminal.until(lambda text: 'reading "item"' in text)
        assert run.finish() == 0
        assert run.screen.text == ""
    assert json.loads((tmp_path / "out").read_bytes())["tables"]["item"]["updated"] == 1


@pytest.mark.parametrize(
    ("words", "env"),
    [
        (["--no-progress"], TERM),
        (["--quiet"], TERM),
        ([], {"TERM": "dumb"}),
        ([], {}),
    ],
)
def test_nothing_is_shown_where_it_is_not_wanted(big: Store, words: list[str], env: dict[str, str]) -> None:
    _changed(big)
    with OnTerminal(*words, "snapshot", cwd=big.top, env=env) as run:
        assert run.finish() == 0
        assert "reading" not in run.screen.raw
        assert "\x1b" not in run.screen.raw


def test_no_colour_where_none_is_wanted(big: Store) -> None:
    _changed(big)
    with OnTerminal("snapshot", cwd=big.top, env={**TERM, "NO_COLOR": "1"}) as run:
        run.terminal.until(lambda text: 'reading "item"' in text)
        run.finish()
        assert not run.screen.coloured


def test_cron_hears_nothing(big: Store) -> None:
    _changed(big)
    done = run_program("snapshot", cwd=big.top, env=TERM)
    assert (done.returncode, done.stderr) == (0, "")
    with open(os.devnull, "wb") as nowhere:
        done = run_program("verify", cwd=big.top, env=TERM, capture_output=False, stdout=nowhere, stderr=nowhere)
    assert done.returncode == 0


def test_what_ends_within_the_delay_shows_nothing_and_loads_nothing(tmp_path: Path) -> None:
    small = store_of(tmp_path / "shop", ITEM, numbered(1, 100))
    with OnTerminal("snapshot", cwd=small.top, code=_WITHOUT_RICH) as run:
        assert run.finish() == 0
        assert not run.screen.redrawn


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(None, 130, "interrupted"), (signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_leaves_the_terminal_as_it_was(big: Store, number: int | None, code: int, word: str) -> None:
    _changed(big)
    with OnTerminal("snapshot", cwd=big.top) as run:
        run.terminal.until(lambda text: 'reading "item"' in text)
        if number is None:
            run.terminal.type("\x03")
        else:
            run.process.send_signal(number)
        assert run.finish(20) == code
        assert run.terminal.untouched
        assert run.screen.text.removeprefix("^C").strip() == f"prontosync: {word}"


def test_a_killed_program_leaves_the_cursor(big: Store) -> None:
    _changed(big)
    with OnTerminal("snapshot", cwd=big.top) as run:
        run.terminal.until(lambda text: 'reading "item"' in text)
        run.process.kill()
        assert run.finish(20) == -signal.SIGKILL
        assert run.terminal.untouched


def test_an_error_comes_after_the_bars(big: Store, tmp_path: Path) -> None:
    copy = store_of(tmp_path / "shop", ITEM, numbered(1, ROWS))
    copy.run("snapshot")
    copy.till("DELETE FROM item WHERE id > 1000")
    copy.till(numbered(ROWS + 1, 2 * ROWS))
    with OnTerminal("snapshot", cwd=copy.top) as run:
        run.terminal.until(lambda text: 'reading "item"' in text)
        assert run.finish() == 13
        assert run.screen.text.startswith("prontosync: ")


def test_a_name_that_would_steer_the_terminal_is_shown(tmp_path: Path) -> None:
    hostile = "\x1b]0;x\x07[red]\u202e:cat:"
    store = store_of(tmp_path / "shop", f'CREATE TABLE "{hostile}" (id INTEGER PRIMARY KEY, name TEXT)')
    store.till(numbered(1, ROWS).replace("INTO item SELECT i, 'x' || i, i", f"INTO \"{hostile}\" SELECT i, 'x' || i"))
    with OnTerminal("snapshot", cwd=store.top) as run:
        run.terminal.until(lambda text: r'reading "\x1b]0;x\x07[red]\u202e:cat:"' in text)
        assert run.finish() == 0


def test_rich_is_loaded_when_it_is_due_and_not_before(shown: tuple[Terminal, TextIO]) -> None:
    terminal, stream = shown
    progress = TerminalProgress(stream, colour=True, delay=0.3)
    for _ in range(3):
        with progress.task("first", 10, "rows") as task:
            task.advance(5)
            time.sleep(0.01)
    time.sleep(0.5)  # nothing is done meanwhile
    assert not terminal.read()
    with progress.task("second", 10, "rows") as task:
        task.advance(5)
        assert "5/10 rows" in terminal.until(lambda text: text.startswith("second"))
    progress.end()
    terminal.until(lambda text: text == "")


def test_many_threads_advance_one_task(shown: tuple[Terminal, TextIO]) -> None:
    terminal, stream = shown
    progress = TerminalProgress(stream, colour=False, delay=0)
    with progress.task("counting", 80_000, "rows") as task:
        threads = [threading.Thread(target=lambda: [task.advance(1) for _ in range(10_000)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        terminal.until(lambda text: "80,000/80,000 rows" in text)
    progress.end()


def test_talk_goes_above_and_data_ends_it(
    shown: tuple[Terminal, TextIO], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    terminal, stream = shown
    monkeypatch.setattr(sys, "stderr", stream)
    context = Context(start=tmp_path, clock=lambda: datetime.now(UTC), author="ana")
    progress = TerminalProgress(stream, colour=False, delay=0)
    with output.below_all(progress), progress.task("working", None, "rows"):
        terminal.until(lambda text: text.startswith("working"))
        output.note(context, "a note")
        terminal.until(lambda text: text.startswith("a note\nworking"))
        output.emit_text("data", to=str(tmp_path / "file"))
        with open(os.dup(terminal.slave), "w", encoding="utf-8") as both:
            monkeypatch.setattr(sys, "stdout", both)
            output.emit_text("the result")
        terminal.until(lambda text: text == "a note\nthe result")
        output.note(context, "another")
        time.sleep(0.3)
    terminal.until(lambda text: text == "a note\nthe result\nanother")


def test_in_the_background_it_leaves_the_terminal_alone(
    shown: tuple[Terminal, TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal, stream = shown
    front = os.getpgrp()
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: front)
    progress = TerminalProgress(stream, colour=False, delay=0)
    with progress.task("working", None, "rows"):
        terminal.until(lambda text: text.startswith("working"))
        front += 1
        while terminal.read(0.5):
            pass
        front -= 1
        assert terminal.read(5)
    front += 1
    progress.end()


def test_a_terminal_that_is_gone_stops_no_work(shown: tuple[Terminal, TextIO]) -> None:
    terminal, stream = shown
    progress = TerminalProgress(stream, colour=False, delay=0)
    with progress.task("working", None, "rows") as task:
        terminal.until(lambda text: text.startswith("working"))
        terminal.hang_up()
        time.sleep(0.4)
        task.advance(1)
    with progress.aside():
        pass
    progress.end()


def test_a_terminal_that_is_held_up_holds_up_no_work(shown: tuple[Terminal, TextIO]) -> None:
    terminal, stream = shown
    progress = TerminalProgress(stream, colour=True, delay=0)
    with progress.task("working", None, "rows"):
        terminal.until(lambda text: text.startswith("working"))
        terminal.type("\x13")  # ^S: nothing is taken any more
        time.sleep(0.5)
        began = time.monotonic()
        for _ in range(1000):
            with progress.task("more", 10, "rows") as task:
                task.advance(10)
                task.at("still more")
        assert time.monotonic() - began < 5
        terminal.type("\x11")
    progress.end()


@pytest.mark.parametrize("columns", [1, 8, 20, 30, 45, 60, 80, 120])
def test_a_line_never_breaks(columns: int, shown: tuple[Terminal, TextIO], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, stream = shown
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((columns, 10)))
    bars = Bars(stream, colour=True)
    tasks = [
        Shown('reading "a table with quite a long name"', 10**12, "rows", 123_456_789, None, 0, 7200.0),
        Shown('pushing "ボタン" to "hub"', 123_456_789_000, "bytes", 5, 12, 1, 0.1),
        Shown("asking", None, "refs", 0, None, 0, 61.0),
        Shown("fetching", None, "bytes", 999, 40, 10, 10.0),
        Shown("too many", None, "bytes", 1, 40, 10, 1.0),
    ]
    bars.draw(tasks)
    terminal.until(lambda text: len(text.splitlines()) == 4)
    assert all(len(line) <= max(columns - 4, 1) for line in terminal.screen.text.splitlines())
    if columns == 120:
        assert "123,456,789/1,000,000,000,000 rows  17,147/s  2:00:00" in terminal.screen.text
        assert "0.0/123.5 GB, 1/12 objects  50.0 bytes/s  0:00" in terminal.screen.text
        assert "999 bytes, 10/40 objects  99.9 bytes/s  0:10, 0:30 left" in terminal.screen.text
        assert terminal.screen.text.splitlines()[2].endswith("1:01")
    bars.draw(tasks[:1])
    terminal.until(lambda text: len(text.splitlines()) == 1)
    bars.clear()
    terminal.until(lambda text: text == "")
    assert (terminal.screen.row, terminal.screen.column) == (0, 0)
