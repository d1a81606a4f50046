"""The manual: man/ and docs/reference/, rendered from the commands, the exit codes and the configuration's keys.

``python -m prontosync.cli.manual`` writes both folders anew; with ``--check`` it only says what differs, and exits 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from prontosync.cli import output
from prontosync.cli.commands import COMMANDS
from prontosync.cli.document import (
    Document,
    command_document,
    configuration_document,
    exit_code_document,
    root_document,
)
from prontosync.cli.escape import escape
from prontosync.cli.markdown import markdown
from prontosync.cli.page import page_of
from prontosync.cli.roff import roff
from prontosync.cli.root import root

FOLDERS = ("man", "docs/reference")
"""What the manual owns: a file in them that it does not render is one too many."""


def render() -> dict[str, str]:
    """Every page: its path, relative to the project, and its text."""
    documents = _documents()
    pages = {f"man/{each.stem}.{each.volume}": roff(each) for each in documents if each.volume != 7}
    for each in documents:
        path = f"docs/reference/{_reference_name(each)}.md"
        # The file prontosync.toml and the command that edits it share a page.
        pages[path] = f"{pages[path]}\n{markdown(each, notice=False)}" if path in pages else markdown(each)
    return pages


def differences(project: Path) -> dict[str, str]:
    """The paths that are not as they should be, and how: missing, changed or extra."""
    wanted, present = render(), _present(project)
    kinds = dict.fromkeys(present - wanted.keys(), "extra")
    for path, text in wanted.items():
        if path not in present:
            kinds[path] = "missing"
        elif (project / path).read_bytes() != text.encode():
            kinds[path] = "changed"
    return dict(sorted(kinds.items()))


def write(project: Path) -> dict[str, str]:
    """Bring both folders up to date. Returns what differed."""
    changed, wanted = differences(project), render()
    for path, kind in changed.items():
        if kind == "extra":
            (project / path).unlink()
        else:
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_bytes(wanted[path].encode())
    return changed


def _documents() -> list[Document]:
    context = root.make_context("prontosync", [], resilient_parsing=True)
    documents = [root_document(page_of(context)), exit_code_document(), configuration_document()]
    for name in COMMANDS:
        found = root.get_command(context, name)
        assert found is not None
        documents.append(command_document(page_of(click.Context(found, info_name=name, parent=context))))
    return documents


def _reference_name(document: Document) -> str:
    return "index" if document.stem == "prontosync" else document.stem.removeprefix("prontosync-")


def _present(project: Path) -> set[str]:
    files = [path for folder in FOLDERS for path in (project / folder).rglob("*") if path.is_file()]
    return {path.relative_to(project).as_posix() for path in files}


def _main(args: list[str]) -> int:
    project = Path(__file__).resolve().parents[2]
    changed = differences(project) if args == ["--check"] else write(project)
    for path, kind in changed.items():
        output.emit_text(f"{kind}: {escape(path)}")
    return int(bool(changed) and args == ["--check"])


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
