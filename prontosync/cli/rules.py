"""The group ``rules``: by which rules is merged, where each comes from, and head office's commit of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prontosync.cli import output
from prontosync.cli.command import command, group
from prontosync.cli.context import Context
from prontosync.cli.escape import escape
from prontosync.cli.grid import grid
from prontosync.cli.options import message_option, rev_argument
from prontosync.cli.outcome import DIGITS, outcome_json
from prontosync.cli.world import changing, reading

if TYPE_CHECKING:
    from prontosync.workflow.rulebook import RuleLine, RulesView

VALUE_WIDTH = 60

rules = group(
    "rules",
    description="""
    The rules of merging: which are in force, where each comes from, and how head office makes them known.

    Head office, the place without an upstream, sets the rules in its prontosync.toml; they travel with its commits,
    and stores take them with the merge. A store's own file may add rules for what head office says nothing about.
    "prontosync rules" alone is "prontosync rules show".
    """,
    default="show",
)


@command(
    "show",
    summary="show the rules in force, or those of a commit",
    within=rules,
    examples=("prontosync rules show", "prontosync rules show HEAD~1 --json"),
    exits=(10, 14, 17),
)
@rev_argument(default=None)
def rules_show(context: Context, rev: str | None) -> None:
    """Show by which rules the next merge here will decide; with REV, by which rules that commit was made.

    What this place's own file says and head office contradicts is listed too: it is not in force.
    """
    from prontosync.workflow.rulebook import view

    with reading(context) as session:
        found = view(session, rev)
    if context.json:
        output.emit_json(_json(found))
        return
    if not context.quiet:
        output.emit_text("\n".join(_text(found)))
    if found.pending or found.passed:
        output.hint(context, "publish those of this file: prontosync rules commit")


@command(
    "commit",
    summary="publish a changed file's rules at once",
    within=rules,
    examples=('prontosync -C ../mirror rules commit -m "the catalogue comes from head office"',),
    exits=(10, 11, 13, 14, 15, 16, 17, 18),
)
@message_option
def rules_commit(context: Context, message: str | None) -> None:
    """Make a commit of head office's rules, where the file says others than are in force.

    Without it, they are published with the next commit that head office makes. Each rule is checked against the tables
    first (10). A place with an upstream publishes none (13).
    """
    from prontosync.workflow.rulebook import commit_rules

    with changing(context) as session:
        outcome = commit_rules(session, message or "")
        version = session.commits.rules(outcome.head).version
    published = outcome.next.commit is not None
    if context.json:
        output.emit_json({**outcome_json(outcome), "published": published, "version": version})
    elif published:
        output.emit_text(f"published version {version} of the rules ({outcome.head[:DIGITS]})")
        output.hint(context, "prontosync push")
    else:
        output.note(context, "nothing changed: the file's rules are those in force")


def _text(found: RulesView) -> list[str]:
    lines = [_heading(found)]
    if found.lines:
        rows = [(_key(line), line.value, _origin(found, line)) for line in found.lines]
        lines.append(grid(("rule", "value", "from"), rows, cell=VALUE_WIDTH).rstrip("\n"))
    if found.passed and not found.pending:
        lines.append("another place published these; the file here says others")
    return lines


def _heading(found: RulesView) -> str:
    said = found.rules
    at = f" at {found.commit[:DIGITS]}" if found.commit else ""
    if not found.lines:
        return f"no rules{at}: what both sides change is a conflict"
    if not said.version:
        return f"rules{at}, of the file of {escape(found.place)}: head office published none"
    pending = ", not published yet" if found.pending else at
    return f"rules of {escape(said.branch)}, version {said.version}{pending}"


def _origin(found: RulesView, line: RuleLine) -> str:
    if line.contradicts is not None:
        from prontosync.disk.config_values import key_text

        rule = key_text(line.contradicts.rule)
        return f"not in force: head office says {rule} = {line.contradicts.said}"
    if line.added or not found.rules.version:
        return f"the file of {found.place}"
    return f"{found.rules.branch}, version {found.rules.version}"


def _key(line: RuleLine) -> str:
    from prontosync.disk.config_values import key_text

    return key_text(line.path)


def _json(found: RulesView) -> dict[str, Any]:
    said = found.rules
    return {
        "commit": found.commit,
        "version": said.version,
        "branch": said.branch or None,
        "store": said.store or None,
        "pending": found.pending,
        "rules": [_line_json(found, line) for line in found.lines],
    }


def _line_json(found: RulesView, line: RuleLine) -> dict[str, Any]:
    section, *names = line.path
    named = section == "table"
    return {
        "key": _key(line),
        "table": names[0] if named else None,
        "column": names[2] if named and len(names) > 2 and names[1] == "columns" else None,
        "value": line.value,
        "from": "file" if line.added or not found.rules.version else "head office",
        "in_force": line.contradicts is None,
        "contradicts": _other(line),
    }


def _other(line: RuleLine) -> dict[str, str] | None:
    from prontosync.disk.config_values import key_text

    if line.contradicts is None:
        return None
    return {"key": key_text(line.contradicts.rule), "value": line.contradicts.said}
