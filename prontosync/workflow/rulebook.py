"""The rules of merging as people read them, and head office's commit of a changed file."""

from __future__ import annotations

from dataclasses import dataclass

from prontosync.disk.config import KeyPath
from prontosync.errors import Refused
from prontosync.model.ids import ObjectId
from prontosync.model.objects import Parent
from prontosync.model.rules import Contradiction, Rules, RuleSet, TableRules, rules_said
from prontosync.workflow.integrate import Next, Outcome, integrate
from prontosync.workflow.rules import contradictions, in_force, is_new, named, next_version
from prontosync.workflow.session import Session


class NotHeadOffice(Refused):
    """Rules are published by the place that takes none from an upstream."""

    id = "not-head-office"


@dataclass(frozen=True)
class RuleLine:
    """One rule: its key in the configuration, its value as text, whether it is ``added`` by one place, and what it
    contradicts, where it is not in force."""

    path: KeyPath
    value: str
    added: bool = False
    contradicts: Contradiction | None = None


@dataclass(frozen=True)
class RulesView:
    """The rules of a commit, or those that the next merge here will go by (``commit`` is then the head, or None).

    ``pending``: head office's file says them, and no commit does yet. ``passed``: they are not those of head office's
    file, because another place published since. ``place`` is the store whose file ``added`` is from.
    """

    rules: Rules
    lines: tuple[RuleLine, ...]
    commit: ObjectId | None
    place: str
    pending: bool = False
    passed: bool = False


def view(session: Session, rev: str | None = None) -> RulesView:
    """The rules of a revision, or those that the next merge here will go by."""
    if rev is not None:
        commit = session.revisions.resolve(rev)
        rules = session.commits.rules(commit)
        return RulesView(rules, _lines(rules), commit, session.commits.read(commit).store)
    head, config = session.head(), session.repo.config
    rules = in_force(session, head)
    pending = config.is_head_office and head is not None and is_new(session, rules, head)
    passed = config.is_head_office and rules.branch == session.repo.branch and rules.shared != config.rules
    left_out = tuple(
        RuleLine(found.path, found.value, added=True, contradicts=found) for found in contradictions(session, config)
    )
    return RulesView(rules, _lines(rules) + left_out, head, session.store_name, pending, passed)


def commit_rules(session: Session, message: str = "") -> Outcome:
    """Make a commit of head office's file, where it is not what is in force; the caller has the lock. Raises
    NotHeadOffice, and ConfigError where a rule does not fit its table."""
    config = session.repo.config
    if not config.is_head_office:
        upstream = config.store.upstream if config.store else ""
        raise NotHeadOffice(
            f'the rules are those of "{upstream}", and only head office publishes some',
            "what the file here adds to them holds here at once; to set rules for all, do it there",
        )
    return integrate(session, "rules", lambda head: _build(session, head, message))


def _build(session: Session, head: ObjectId, message: str) -> Next:
    known = session.commits.rules(head)
    if known.shared == session.repo.config.rules:
        return Next(None)
    rules = next_version(session, known)
    parents = (Parent(head, session.repo.branch),)
    policy = named(session, rules, head)
    words = message or f"rules of merging, version {rules.version}"
    return Next(session.commits.add(session.commits.tree(head), parents, session.stamp(), words, policy=policy))


def _lines(rules: Rules) -> tuple[RuleLine, ...]:
    return (*_set_lines(rules.shared, False), *_set_lines(rules.added, True))


def _set_lines(rules: RuleSet, added: bool) -> list[RuleLine]:
    sections: list[tuple[KeyPath, TableRules]] = [(("default",), rules.default)]
    sections += [(("table", name), said) for name, said in sorted(rules.tables.items())]
    lines = [
        RuleLine((*section, *key), value if isinstance(value, str) else "true", added)
        for section, said in sections
        for key, value in sorted(rules_said(said).items())
    ]
    for name, one in sorted(rules.invariants.items()):
        pairs = (("table", one.table), ("sql", one.sql), ("refuse", "true" if one.refuse else ""))
        lines += [RuleLine(("invariant", name, key), value, added) for key, value in pairs if value]
    return lines
