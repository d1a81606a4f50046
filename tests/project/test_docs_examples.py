"""The guides in docs/ cannot rot: their links, commands, examples and lists of files are held against the program."""

from __future__ import annotations

import csv
import io
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pyarrow as pa
import pytest

from prontosync.cli.commands import COMMANDS
from prontosync.cli.manual import render
from prontosync.disk.live import LiveNote
from prontosync.model.encoding import decode, encode
from prontosync.model.ids import object_id
from prontosync.model.objects import Format, TableState, decode_commit, decode_record
from prontosync.model.schema import DatabaseDdl, Ddl, TableSchema
from prontosync.tables.digest import TableDigester
from tests.fixtures.format_examples import DDL, SCHEMA, build, examples_in, rows_of
from tests.fixtures.program import BARE
from tests.fixtures.sshd import APPEND_ONLY
from tests.fixtures.store import Store
from tests.project.code import PACKAGE, PROJECT, modules
from tests.project.registry import every_command

DOCS = PROJECT / "docs"
GUIDES = sorted(DOCS.glob("*.md"))
FORMAT = (DOCS / "format.md").read_text(encoding="utf-8")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_FENCE = re.compile(r"```.*?```", re.DOTALL)
_INLINE = re.compile(r"`(prontosync [^`]*)`")
_TYPED = re.compile(r"^\s*(?:\$ )?(?:sudo \S+ )?(prontosync .*)$", re.MULTILINE)
_GLOBAL = re.compile(r"^(-C \S+|--?[a-z-]+)$")


REFERENCE = frozenset(PROJECT / path for path in render())
"""The pages that the manual renders; ``test_manual.py`` holds that they are there."""


def anchors(page: Path) -> set[str]:
    """What a heading can be linked by, as GitHub makes it."""
    titles = _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands_in(text: str) -> Iterator[str]:
    """Every ``prontosync …`` that a page names or shows."""
    for fence in _FENCE.findall(text):
        yield from _TYPED.findall(fence)
    yield from _INLINE.findall(_FENCE.sub("", text))


def block(name: str, text: str = FORMAT) -> str:
    """The fenced block after a mark such as ``<!-- run: audit -->``."""
    found = re.search(rf"<!-- (?:run|example): {name} -->\n```\w*\n(.*?)```", text, re.DOTALL)
    assert found, f"no block {name}"
    return found[1]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    broken = []
    for link in _LINK.findall(text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if target in REFERENCE and not anchor:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_guide_is_in_the_index() -> None:
    linked = set(_LINK.findall((DOCS / "README.md").read_text(encoding="utf-8")))
    assert {page.name for page in GUIDES} - {"README.md"} <= linked


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    grouped = {name.split()[0] for name, _ in every_command() if " " in name}
    known = {name for name, _ in every_command()}
    unknown = []
    for line in commands_in(page.read_text(encoding="utf-8")):
        words = [word for word in re.split(r"\s+", line)[1:] if not _GLOBAL.match(word) and word != "…"]
        if not words or not re.fullmatch(r"[a-z-]+", words[0]):
            continue
        name = " ".join(words[:2]) if words[0] in grouped and len(words) > 1 else words[0]
        if name not in known and name not in COMMANDS:
            unknown.append(line)
    assert unknown == []


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_options_exist(page: Path) -> None:
    options = {name: {word for p in command.params for word in p.opts} for name, command in every_command()}
    unknown = []
    for line in commands_in(page.read_text(encoding="utf-8")):
        words = line.split("|")[0].split()
        name = next((n for n in (" ".join(words[1:3]), words[1] if len(words) > 1 else "") if n in options), None)
        if name is not None:
            used = {word.split("=")[0] for word in words if word.startswith("--")}
            unknown += [f"{word} in {line}" for word in used - options[name] - {"--json", "--help"}]
    assert unknown == []


def test_the_architecture_names_every_file_once_and_none_that_is_gone() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `([a-z_/]+\.py)` \|", text, re.MULTILINE)
    present = {path for path in modules() if (PACKAGE / path).read_text(encoding="utf-8").strip()}
    assert sorted(named) == sorted(present - {path for path in present if path.endswith("__init__.py")})


def test_the_hubs_list_of_requests_is_the_one_that_is_tested() -> None:
    assert f"ForceCommand {APPEND_ONLY}\n" in (DOCS / "hub.md").read_text(encoding="utf-8")


def test_tests_that_the_guides_name_exist() -> None:
    gone = []
    for page in GUIDES:
        for path, _, name in re.findall(r"`(tests/[\w/]+\.py)(::(\w+))?`", page.read_text(encoding="utf-8")):
            file = PROJECT / path
            if not file.exists() or (name and f"def {name}(" not in file.read_text(encoding="utf-8")):
                gone.append(f"{page.name}: {path} {name}")
    assert gone == []


def test_json_examples_are_what_the_program_reads_and_writes() -> None:
    found = examples_in(FORMAT)
    kinds = {"schema": TableSchema, "ddl": Ddl, "database": DatabaseDdl, "format": Format, "live": LiveNote}
    for name, kind in {**kinds, "state": TableState}.items():
        assert encode(decode(found[name], kind)) == found[name], name
    for name in ("root", "commit"):
        assert encode(decode_commit(found[name])) == found[name]
    assert encode(decode_record(found["record"])) == found["record"]
    assert set(found) == set(build().texts)


def test_json_examples_refer_to_each_other() -> None:
    # Addresses of Parquet files change with the library that writes them; all others must be those of the examples.
    found = {name: (data, object_id(data)) for name, data in examples_in(FORMAT).items()}
    made = build().texts
    assert {n: found[n][0] for n in ("schema", "ddl", "database", "format")} == {
        n: made[n] for n in ("schema", "ddl", "database", "format")
    }
    root, commit = decode_commit(found["root"][0]), decode_commit(found["commit"][0])
    record, state = decode_record(found["record"][0]), commit.tables["product"]
    assert (state.schema, state.ddl, commit.database) == tuple(found[n][1] for n in ("schema", "ddl", "database"))
    assert encode(state) == found["state"][0]
    assert commit.parents[0].commit == record.old == found["root"][1]
    assert record.new == found["commit"][1] == decode(found["live"][0], LiveNote).commit
    assert [root.tables["product"].digest, state.digest] == [
        table_digest(rows_of().slice(0, 2)),
        table_digest(rows_of()),
    ]
    assert decode(found["ddl"][0], Ddl) == DDL


def test_the_digest_program_gives_what_it_says_and_what_the_program_computes() -> None:
    output = io.StringIO()
    with redirect_stdout(output):
        exec(block("digest-program"), {})
    assert output.getvalue() == block("digest-output")
    assert output.getvalue().split()[-1] == table_digest(rows_of())


def table_digest(rows: pa.Table) -> str:
    digester = TableDigester(SCHEMA)
    for batch in rows.to_batches():
        digester.update(batch)
    return digester.digest()


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for PATH: the program under test, and stand-ins for ``duckdb`` and ``b3sum`` where they are missing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    scripts = {
        "prontosync": "from prontosync.cli.main import run; run()",
        "duckdb": "import sys, duckdb; duckdb.connect().sql(sys.stdin.read()).write_csv('/dev/stdout')",
        "b3sum": "import sys; from blake3 import blake3\nfor name in sys.argv[1:]:\n"
        "    if not name.startswith('-'):\n        print(blake3(open(name, 'rb').read()).hexdigest())",
    }
    for name, script in scripts.items():
        if name == "prontosync" or shutil.which(name) is None:
            command = shlex.join([sys.executable, "-c", script])
            (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            (folder / name).chmod(0o755)
    return folder


def run_block(name: str, store: Store, tools: Path) -> str:
    done = subprocess.run(
        ["sh", "-eu", "-c", block(name)],
        cwd=store.top,
        env={**BARE, "PATH": f"{tools}:{BARE['PATH']}", "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_audit_reads_yesterdays_rows(store: Store, tools: Path) -> None:
    lines = run_block("audit", store, tools).splitlines()
    checked = [line for line in lines if line.startswith(("good ", "BAD "))]
    assert checked
    assert all(line.startswith("good ") for line in checked)
    rows = list(csv.DictReader(lines[len(checked) :]))
    store.run("export", "HEAD~1", "product", "-o", "product.csv")
    expected = list(csv.DictReader((store.top / "product.csv").read_text(encoding="utf-8").splitlines()))
    assert sorted(row["product_id"] + row["price"] for row in rows) == sorted(
        row["product_id"] + row["price"] for row in expected
    )


def test_the_audit_without_the_program_finds_the_segments(store: Store, tools: Path) -> None:
    commit, checkpoint, *rows = run_block("audit-alone", store, tools).splitlines()
    assert commit.split()[0] == store.text("rev-parse", "HEAD").strip()
    listed = store.json("ls-files", "HEAD", "product")["segments"]
    names = [Path(path).parent.name + Path(path).stem for path in listed]
    assert [row["segment"] for row in csv.DictReader(rows)] == names
    assert re.fullmatch(r"[0-9a-f]{64}", checkpoint.split()[0])
