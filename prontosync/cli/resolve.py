"""Resolve: decide what is in dispute."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from prontosync.cli import output
from prontosync.cli.command import command
from prontosync.cli.context import Context
from prontosync.cli.options import allow_deletes_option, message_option, plan_option, with_schema_option
from prontosync.cli.outcome import report
from prontosync.cli.world import changing, reading
from prontosync.errors import NotFound, UsageError

if TYPE_CHECKING:
    from prontosync.workflow.conflict_file import FileDecider
    from prontosync.workflow.decide import Answer
    from prontosync.workflow.resolve import Decider
    from prontosync.workflow.session import Session

_FORMS = "prontosync resolve TABLE KEY --take BRANCH; for the other forms: prontosync help resolve"


class BadRequest(UsageError):
    """Words that do not go together."""

    id = "bad-request"


class NoFile(NotFound):
    id = "no-file"


@dataclass(frozen=True)
class Request:
    """The words of a command line, before it is known whether they make sense together."""

    table: str | None
    key: str | None
    column: str | None
    take: str | None
    value: str | None
    null: bool
    delete: bool
    everything: bool
    where: str | None
    file: str | None


@command(
    "resolve",
    examples=(
        "prontosync resolve customer C012-00007 --column phone --take stores/007",
        "prontosync resolve customer C012-00007 --column phone --value '+52 55 1234 5678' --plan",
        "prontosync resolve customer --all --take stores/007 --plan",
        "prontosync resolve customer --where \"customer_id LIKE 'C012-%'\" --take stores/007 --plan",
        "prontosync conflicts --format csv -o d.csv && prontosync resolve --from d.csv",
    ),
    exits=(10, 11, 13, 14, 15, 16, 17, 18),
)
@click.argument("table", metavar="[TABLE]", required=False, help="The table.")
@click.argument(
    "key", metavar="[KEY]", required=False, help='The row: "12,991" in key order, "a=1,b=2", or a JSON object.'
)
@click.option("--column", metavar="C", help="Only this column. Default: all that are in dispute in the row.")
@click.option("--take", metavar="BRANCH|COMMIT", help='The candidate of a branch or commit, "ours" or "theirs".')
@click.option("--value", metavar="V", help="Another value; for a row in dispute, the row as a JSON object.")
@click.option("--null", is_flag=True, help="The value NULL.")
@click.option("--delete", is_flag=True, help="Decide that there is no such row.")
@click.option("--all", "everything", is_flag=True, help="All conflicts, or TABLE's, in which --take has a candidate.")
@click.option("--where", metavar="SQL", help="Those of TABLE with a candidate that satisfies an SQL condition.")
@click.option("--from", "file", metavar="FILE", help='Decisions from the file that "conflicts --format csv" wrote.')
@click.option("--author", metavar="NAME", help="Who decides. Default: who runs the command.")
@plan_option
@message_option
@allow_deletes_option
@with_schema_option
def resolve(
    context: Context,
    author: str | None,
    plan: bool,
    message: str | None,
    allow_deletes: tuple[str, ...],
    with_schema: bool,
    **words: str,
) -> None:
    """Decide open conflicts, and write the decision to the live database.

    A candidate goes by the branch that it came from, as "prontosync conflicts" shows it; where a branch brought
    several, by the id of its commit (8 digits or more). Only what is in dispute can be decided (else 17). A resolution
    is a commit like any other and travels to all places that have the conflict.

    An SQL condition is asked of the candidates, a row each, as "prontosync sql" shows them in conflicts.TABLE: the key,
    the candidate in its own column (all columns where the whole row is in dispute, else the others are NULL), and
    _ps_column, _ps_present, _ps_from, _ps_commit, _ps_kind, _ps_since.

    In a file, "x" in the column "decision" takes the candidate of its row; "=VALUE" sets a value, "null" NULL, and
    "delete" decides that there is no such row. A conflict that is not open any more is mentioned and passed over.
    """
    from prontosync.workflow import resolve as work

    request = Request(**words)  # type: ignore[arg-type]
    _check(request)
    with (reading if plan else changing)(context) as session:
        session.with_schema = with_schema
        decider, file = _decider(session, request)
        if plan:
            from prontosync.cli.plan import show_plan

            show_plan(context, work.resolve_forecast(session, decider))
        else:
            report(context, work.resolve(session, decider, message or "", author, allow_deletes), "resolved")
    for line in file.gone if file else ():
        output.note(context, f"line {line}: that conflict is not open any more")


def _check(request: Request) -> None:
    """Raises BadRequest where the words do not go together."""
    targets = [request.key is not None, request.everything, request.where is not None, request.file is not None]
    answers = [request.take is not None, request.value is not None, request.null, request.delete]
    if targets.count(True) != 1:
        raise BadRequest("say what to resolve: one of TABLE KEY, --all, TABLE --where, --from", _FORMS)
    if request.file is not None:
        if any(answers) or request.table or request.column:
            raise BadRequest("--from takes everything from the file: no other word goes with it", _FORMS)
        return
    if answers.count(True) != 1:
        raise BadRequest("say how to resolve it: one of --take, --value, --null, --delete", _FORMS)
    if request.key is None and (request.take is None or request.column is not None):
        raise BadRequest("several conflicts at once are resolved with --take alone", _FORMS)
    if request.where is not None and request.table is None:
        raise BadRequest("--where needs the table that it is about", _FORMS)


def _decider(session: Session, request: Request) -> tuple[Decider, FileDecider | None]:
    from prontosync.workflow import decide

    if request.file is not None:
        file = _from_file(session.world.folder / request.file)
        return file, file
    own = session.repo.branch
    if request.key is None:
        assert request.take is not None
        if request.where is not None:
            assert request.table is not None
            return decide.where(session, request.table, request.where, request.take, own), None
        return decide.every(request.table, request.take, own), None
    assert request.table is not None
    single = request.value is not None or request.null
    return decide.one_row(request.table, request.key, request.column, _answer(request, own), single), None


def _answer(request: Request, own: str) -> Answer:
    from prontosync.workflow import decide

    if request.take is not None:
        return decide.take(request.take, own)
    if request.value is not None:
        return decide.give(request.value)
    return decide.clear if request.null else decide.remove


def _from_file(path: Path) -> FileDecider:
    from prontosync.workflow.conflict_file import FileDecider, read_marks

    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise NoFile(f'"{path}" cannot be read: {(error.strerror or str(error)).lower()}') from error
    except UnicodeDecodeError:
        raise BadRequest(f'"{path}" is not UTF-8', "save it as CSV UTF-8") from None
    return FileDecider(read_marks(text))
