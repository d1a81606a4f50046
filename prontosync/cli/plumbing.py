"""Plumbing, for scripts and for repair: cat-object, hash-object, rev-parse, update-ref, merge-base."""

from __future__ import annotations

import click

from prontosync.cli import output as out
from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.cli.options import rev_argument
from prontosync.cli.world import changing, reading
from prontosync.errors import NotFound, UsageError


class NoCommonAncestor(NotFound):
    id = "no-common-ancestor"


class RefWords(UsageError):
    id = "ref-words"


@command(
    "cat-object",
    examples=("prontosync cat-object $(prontosync rev-parse HEAD)",),
    exits=(10, 13, 14, 17),
)
@click.argument("identity", metavar="ID", help="An object's id, or at least 8 of its hex digits.")
def cat_object(context: Context, identity: str) -> None:
    """Print the bytes of an object, after they were found to be right: JSON, or a Parquet file.

    With --json, what it is and how long, and a JSON object's content.
    """
    from prontosync.workflow.plumbing import find_object

    with reading(context) as session:
        name = find_object(session, identity)
        data = session.repo.objects.read(name)
    if context.json:
        import json

        content = {"content": json.loads(data)} if name.suffix == "json" else {}
        out.emit_json({"id": name.id, "type": name.suffix, "bytes": len(data), **content})
    else:
        out.emit_data([data, b"\n"] if name.suffix == "json" else [data])


@command("hash-object", examples=("prontosync hash-object pos.db",), exits=(13, 14, 17))
@click.argument("file", metavar="FILE", help="Any file.")
def hash_object(context: Context, file: str) -> None:
    """Print the id that a file's bytes have as an object: their BLAKE3 hash, as "b3sum" prints it."""
    from prontosync.workflow.plumbing import hash_file

    identity = hash_file(context.start / file)
    if context.json:
        out.emit_json({"id": identity})
    else:
        out.emit_text(identity)


@command("rev-parse", examples=("prontosync rev-parse HEAD~1", "prontosync rev-parse HEAD@{1}"), exits=(10, 14, 17))
@rev_argument(required=True)
def rev_parse(context: Context, rev: str) -> None:
    """Print the id of the commit that REV names."""
    from prontosync.workflow.states import resolve

    with reading(context) as session:
        commit = resolve(session, rev)
    if context.json:
        out.emit_json({"rev": rev, "commit": commit})
    else:
        out.emit_text(commit)


@command(
    "update-ref",
    examples=(
        "prontosync update-ref kept HEAD~1",
        "prontosync update-ref kept HEAD && prontosync update-ref --delete kept",
    ),
    exits=(10, 11, 13, 14, 15, 16, 17),
)
@click.argument("ref", metavar="REF", help="A branch, or tags/NAME.")
@click.argument("new", metavar="[NEW]", required=False, help="The revision to move it to.")
@click.argument(
    "old", metavar="[OLD]", required=False, help="Only from this revision (15 elsewhere); zeros: only if it is new."
)
@click.option("--delete", is_flag=True, help="Take it away; without NEW.")
def update_ref(context: Context, ref: str, new: str | None, old: str | None, delete: bool) -> None:
    """Move REF to NEW, whatever it pointed to, or only from OLD.

    The branch that a live database holds is not moved (13): the database would seem to have taken back what it never
    had.
    """
    from prontosync.workflow.plumbing import update_ref as move

    if (new is None) != delete:
        raise RefWords("say where the ref goes", "prontosync update-ref REF NEW, or prontosync update-ref --delete REF")
    with changing(context) as session:
        change = move(session, ref, new, old)
    if context.json:
        out.emit_json({"ref": change.ref, "old": change.old, "new": change.new})
    else:
        out.note(context, f"{change.ref}: {change.old or 'nothing'} → {change.new or 'nothing'}")


@command("merge-base", examples=("prontosync merge-base HEAD office/main",), exits=(10, 14, 17))
@rev_argument("a", required=True)
@rev_argument("b", required=True)
def merge_base(context: Context, a: str, b: str) -> None:
    """Print the newest common ancestors of two revisions, one a line; 17 where they have none."""
    from prontosync.workflow.states import resolve

    with reading(context) as session:
        bases = session.ancestry.merge_bases([resolve(session, a)], resolve(session, b))
    if not bases:
        raise NoCommonAncestor(f'"{a}" and "{b}" have no common ancestor')
    if context.json:
        out.emit_json({"bases": bases})
    else:
        out.emit_text("\n".join(bases))
