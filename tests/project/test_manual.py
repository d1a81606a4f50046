"""man/ and docs/reference/ are what the commands say, in both directions: nothing missing, changed or extra."""

from __future__ import annotations

from pathlib import Path

from prontosync.cli import manual
from prontosync.cli.commands import COMMANDS
from tests.project.code import PROJECT


def test_the_manual_is_up_to_date() -> None:
    assert manual.differences(PROJECT) == {}, "run ./dev docs"


def test_every_command_has_both_pages() -> None:
    pages = manual.render()
    for name in COMMANDS:
        assert f"man/prontosync-{name}.1" in pages
        assert f"docs/reference/{name}.md" in pages


def test_missing_changed_and_extra_files_are_seen_and_mended(tmp_path: Path) -> None:
    manual.write(tmp_path)
    assert manual.differences(tmp_path) == {}
    (tmp_path / "man/prontosync.1").unlink()
    (tmp_path / "man/prontosync-help.1").write_text("by hand")
    (tmp_path / "docs/reference/old.md").write_text("a command that is gone")
    expected = {"man/prontosync.1": "missing", "man/prontosync-help.1": "changed", "docs/reference/old.md": "extra"}
    assert manual.differences(tmp_path) == expected
    assert manual.write(tmp_path) == expected
    assert manual.differences(tmp_path) == {}


def test_man_pages_carry_no_date() -> None:
    for path, text in manual.render().items():
        if path.startswith("man/"):
            assert text.splitlines()[0].split('"')[1] == ""
