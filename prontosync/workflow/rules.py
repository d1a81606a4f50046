"""Rules: those in force for a merge, how head office's get into the history, and what in a file contradicts them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import reduce

from prontosync.disk.config import Config, ConfigError, KeyPath
from prontosync.disk.config_rules import check_against_schema
from prontosync.disk.config_values import key_text
from prontosync.disk.notes import RulesNote
from prontosync.model.ids import ObjectId
from prontosync.model.rules import (
    SUM,
    Contradiction,
    Rules,
    RuleSet,
    beyond,
    effective,
    encode_rules,
    joined,
    rule_set_id,
    with_added,
)
from prontosync.model.schema import TableSchema
from prontosync.workflow.session import Session

_SECTIONS = ("table", "default", "invariant")


def in_force(
    session: Session, ours: ObjectId | None, theirs: ObjectId | None = None, branch: str | None = None
) -> Rules:
    """The rules for what is made on top of ``ours``, in a merge of ``theirs``, which is on ``branch``.

    Head office publishes its file where it changed. Everywhere else the newest version of both sides holds, and the
    file adds to it; before head office published any, the file's rules are all there are (version 0). Rules that a
    branch set for itself do not count for others that merge it, unless it is their upstream.
    """
    config = session.repo.config
    known = _known(session, config, ours, theirs, branch)
    if not config.is_head_office:
        return with_added(known, beyond(config.rules, known.shared)[0]) if known.version else Rules(shared=config.rules)
    return next_version(session, known) if _is_news(session, known) else known


def of_tips(session: Session, tips: Sequence[ObjectId]) -> Rules:
    """The rules of a virtual base: the newest shared ones of its tips, so that every place computes the same."""
    known = reduce(joined, (session.commits.rules(tip) for tip in tips), Rules())
    return known if known.version else Rules(shared=session.repo.config.rules)


def next_version(session: Session, known: Rules) -> Rules:
    """Head office's file as the version after the known ones."""
    note = session.repo.rules.read()
    version = max(known.version, note.version if note else 0) + 1
    return Rules(version, session.repo.branch, session.store_name, session.repo.config.rules)


def named(session: Session, rules: Rules, *sides: ObjectId) -> ObjectId | None:
    """The address to name rules by in a commit that is made of ``sides``, the object written; None for no rules.

    Raises ConfigError where head office is about to publish rules that do not fit the sides' tables.
    """
    if sides and is_new(session, rules, *sides):
        check_against_schema(session.repo.config, _schemas(session, sides))
    if not rules:
        return None
    return session.merge_store.add(encode_rules(rules)[1], "json").id


def after_edit(session: Session, head: ObjectId | None) -> ObjectId | None:
    """The address of the rules for a commit of what the till edited: those of its parent, and at head office its
    file's. The file fits the tables already."""
    if not session.repo.config.is_head_office:
        return session.commits.read(head).policy if head else None
    return named(session, in_force(session, head))


def is_new(session: Session, rules: Rules, *sides: ObjectId) -> bool:
    """Whether rules were in none of the sides: a commit that names them first must travel."""
    return all(rules.version > session.commits.rules(side).version for side in sides)


def flow(rules: Rules, table: str) -> str:
    """Which way a table travels."""
    return effective(rules, table).flow or "shared"


def sums(rules: Rules, table: str) -> frozenset[str]:
    """The columns of a table with the policy ``sum``."""
    return frozenset(name for name, policy in effective(rules, table).columns.items() if policy == SUM)


def remember(session: Session, head: ObjectId) -> None:
    """Note that head office's file is what is in force at its head, where it is."""
    rules = session.commits.rules(head)
    if not rules.version:
        return
    config = session.repo.config
    if not config.is_head_office or rules.shared != config.rules:
        return
    note = RulesNote(rule_set_id(config.rules), rules.version)
    if session.repo.rules.read() != note:
        session.repo.rules.write(note)


def contradictions(session: Session, config: Config) -> tuple[Contradiction, ...]:
    """What in a configuration head office's rules, as they are in force at the head, leave no room for."""
    head = session.head()
    if head is None or config.is_head_office:
        return ()
    known = _known(session, config, head)
    return beyond(config.rules, known.shared)[1] if known.version else ()


def waiting(session: Session) -> bool:
    """Whether head office's file says other rules than its head, which stores go by. A place with a live database is
    taken for head office once it has published any: most that have no upstream are stores by themselves."""
    head, config = session.head(), session.repo.config
    if head is None or not config.is_head_office or not config.remotes:
        return False
    known = session.commits.rules(head)
    if known.version == 0:
        return config.store is None and bool(config.rules)
    return known.branch == session.repo.branch and known.shared != config.rules


def tell_contradictions(session: Session, rules: Rules) -> None:
    """Note for people what of this place's file is left out of a merge."""
    if rules.version and not session.repo.config.is_head_office:
        for found in beyond(session.repo.config.rules, rules.shared)[1]:
            session.world.note(describe(found))


def describe(found: Contradiction) -> str:
    """A contradiction for a message."""
    rule, said = key_text(found.rule), found.said
    return f'{key_text(found.path)} = "{found.value}" is not in force: head office says {rule} = "{said}"'


def check_edit(session: Session, config: Config, keys: Collection[KeyPath]) -> None:
    """Raises ConfigError where one of these keys of a changed configuration contradicts head office."""
    if not any(key[0] in _SECTIONS for key in keys):
        return
    for found in contradictions(session, config):
        if any(key[: len(found.path)] == found.path or found.path[: len(key)] == key for key in keys):
            said = f'head office says {key_text(found.rule)} = "{found.said}", and its rules hold everywhere'
            raise ConfigError(said, "see them all: prontosync rules", found.path)


def _known(
    session: Session,
    config: Config,
    ours: ObjectId | None,
    theirs: ObjectId | None = None,
    branch: str | None = None,
) -> Rules:
    """The newest shared rules of both sides."""
    own, upstream = session.repo.branch, _upstream_branch(config)
    sides = []
    if ours is not None:
        mine = session.commits.rules(ours)
        sides.append(mine if config.is_head_office or mine.branch != own else Rules())
    if theirs is not None:
        other = session.commits.rules(theirs)
        trusted = {upstream, own if config.is_head_office else upstream}
        sides.append(other if branch is None or other.branch != branch or branch in trusted else Rules())
    return reduce(joined, sides, Rules())


def _upstream_branch(config: Config) -> str | None:
    upstream = config.store.upstream if config.store else None
    return upstream.partition("/")[2] if upstream else None


def _is_news(session: Session, known: Rules) -> bool:
    """Whether head office's file was changed since it was last in force, and not only left behind by another place's
    that publishes on the same branch."""
    own = session.repo.config.rules
    if own == known.shared:
        return False
    if not known.version:
        return True
    if known.branch != session.repo.branch:
        return False  # head office's rules are here: this is a store that lost its upstream, or a branch to try things
    note = session.repo.rules.read() or RulesNote(rule_set_id(RuleSet()), 0)
    return note.rules != rule_set_id(own) or known.version <= note.version


def _schemas(session: Session, sides: Sequence[ObjectId]) -> Mapping[str, TableSchema]:
    """The schemas of all tables, the first side's where several have one."""
    from prontosync.tables.reader import read_schema

    found: dict[str, TableSchema] = {}
    for side in sides:
        for name, state in session.commits.tree(side).tables.items():
            if name not in found:
                found[name] = read_schema(session.repo.objects, name, state.schema)
    return found
