from __future__ import annotations

import json
import os
import threading
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from prontosync.cli import output
from prontosync.cli.context import Context
from prontosync.errors import NoSpace, NotFound, Refused


def context(**fields: bool) -> Context:
    return Context(start=Path("/"), clock=lambda: datetime(2026, 1, 1, tzinfo=UTC), author="anna", **fields)


def test_json_follows_the_contract() -> None:
    value = {
        "price": Decimal("9.50"),
        "blob": b"\x00\x01",
        "at": datetime(2026, 12, 31, 14, tzinfo=UTC),
        "naive": datetime(2026, 12, 31, 14),
        "day": date(2026, 12, 31),
        "none": None,
        "name": "Señorita",
        "odd": [float("nan"), float("-inf"), 1.5],
    }
    assert json.loads(output.encode_json(value)) == {
        "price": "9.50",
        "blob": "AAE=",
        "at": "2026-12-31T14:00:00Z",
        "naive": "2026-12-31T14:00:00",
        "day": "2026-12-31",
        "none": None,
        "name": "Señorita",
        "odd": ["NaN", "-Infinity", 1.5],
    }
    assert "Señorita" in output.encode_json(value)
    with pytest.raises(TypeError):
        output.encode_json(object())


def test_text_is_escaped_a_second_time_but_our_colours_stay(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    painted = output.paint(context(colour=True), "new\x1b[5m", "green")
    output.emit_text(f"{painted} \x1b]0;title\x07")
    assert capsysbinary.readouterr().out == b"\x1b[32mnew\\x1b[5m\x1b[0m \\x1b]0;title\\x07\n"
    assert output.paint(context(), "new", "green") == "new"


def test_lines_and_data(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    output.emit_json_lines({"n": n} for n in range(2500))
    assert capsysbinary.readouterr().out.splitlines()[-1] == b'{"n":2499}'
    output.emit_data([b"raw\x1b", b"\xff"])
    assert capsysbinary.readouterr().out == b"raw\x1b\xff"


def test_a_file_is_replaced_whole_with_ordinary_permissions(tmp_path: Path) -> None:
    target = tmp_path / "out file.json"
    target.write_text("old")
    link = tmp_path / "link"
    link.symlink_to(target)
    output.emit_json({"a": 1}, to=str(link))
    assert json.loads(target.read_text()) == {"a": 1}
    assert link.is_symlink()
    assert target.stat().st_mode & 0o400
    assert sorted(os.listdir(tmp_path)) == ["link", "out file.json"]


def test_a_pipe_is_written_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.append(pipe.read_text()))
    reader.start()
    output.emit_text("hello", to=str(pipe))
    reader.join(10)
    assert seen == ["hello\n"]
    assert pipe.is_fifo()


def test_a_file_that_cannot_be_written_is_our_error(tmp_path: Path) -> None:
    with pytest.raises((Refused, NotFound)):
        output.emit_text("x", to=str(tmp_path))
    with pytest.raises(NoSpace if os.path.exists("/dev/full") else Refused):
        output.emit_text("x", to="/dev/full")


def test_notes_and_hints_are_silent_with_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    output.note(context(), "two\nlines")
    output.hint(context(), "prontosync log")
    output.note(context(quiet=True), "never")
    output.hint(context(quiet=True), "never")
    captured = capsys.readouterr()
    assert captured.err == "two\\nlines\nhint: prontosync log\n"
    assert captured.out == ""
