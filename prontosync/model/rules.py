"""The rules of merging as an object that commits name: policies by table and column, invariants, and who set them.

``docs/merging.md`` says what each of them decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from prontosync.errors import UsageError
from prontosync.model import encoding
from prontosync.model.ids import ObjectId, object_id
from prontosync.model.names import ref_name

Flow: TypeAlias = Literal["own", "down", "shared"]
FLOWS: tuple[Flow, ...] = ("own", "down", "shared")
SUM, MAX, MIN, PREFER, NONE = "sum", "max", "min", "prefer", "none"
POLICIES = (SUM, MAX, MIN, PREFER, NONE)
WINS, LOSES = "wins", "loses"
DELETES = (WINS, LOSES)
RENUMBERS = ("main", "store")

RuleKey: TypeAlias = tuple[str, ...]
"""Where a rule stands in its section: ``("newest",)``, ``("columns", "price")``."""

RuleValue: TypeAlias = "str | bool"


class TableRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is said of one table, or of all that say nothing themselves. None, empty and false: nothing is said.

    ``columns`` has a policy by column: ``sum``, ``max``, ``min``, ``prefer BRANCH`` or ``none``. ``newest`` and
    ``owner`` name a column, ``prefer`` a branch. ``delete`` is ``wins`` or ``loses``; ``renumber`` is ``main`` or
    ``store``: whose row gets a new key. ``renamed`` has columns' new names by their old ones; ``dropped`` are columns
    whose end head office confirms, in the order of their names; ``gone`` says the same of the whole table.
    """

    flow: str | None = None
    columns: Mapping[str, str] = {}
    newest: str | None = None
    prefer: str | None = None
    owner: str | None = None
    append_only: bool = False
    delete: str | None = None
    renumber: str | None = None
    renamed: Mapping[str, str] = {}
    dropped: tuple[str, ...] = ()
    gone: bool = False

    def __bool__(self) -> bool:
        return self != TableRules()


class Invariant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """SQL that must return no row, over the schemas ``base``, ``ours``, ``theirs``, ``merged``. What it returns has the
    key columns of ``table``. ``refuse``: such a merge is not made."""

    table: str
    sql: str
    refuse: bool = False


class RuleSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Rules from one file. A table of which nothing is said is not in ``tables``."""

    default: TableRules = TableRules()
    tables: Mapping[str, TableRules] = {}
    invariants: Mapping[str, Invariant] = {}

    def __bool__(self) -> bool:
        return self != RuleSet()

    def table(self, name: str) -> TableRules:
        """What is said of a table by its name; nothing where it is not there."""
        return self.tables.get(name) or TableRules()

    def effective(self, name: str) -> TableRules:
        """What holds for a table: what is said of it, and beside that what is said of all."""
        own, default = self.table(name), self.default
        return msgspec.structs.replace(
            own,
            flow=own.flow or default.flow,
            newest=own.newest or default.newest,
            prefer=own.prefer or default.prefer,
            delete=own.delete or default.delete,
        )


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind", tag="rules"):
    """The rules that a commit was made by.

    ``shared`` are head office's; ``version`` grows with each change of them, 0 where head office never set any and
    ``shared`` is what the place's own file says. ``branch`` and ``store`` are head office's, empty in version 0.
    ``added`` is what the place that made the commit had in its own file beside them.
    """

    version: int = 0
    branch: str = ""
    store: str = ""
    shared: RuleSet = RuleSet()
    added: RuleSet = RuleSet()
    requires: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != Rules()


def rule_set(default: TableRules, tables: Mapping[str, TableRules], invariants: Mapping[str, Invariant]) -> RuleSet:
    """The rules of one file, without the tables of which nothing is said."""
    return RuleSet(default, {name: said for name, said in tables.items() if said}, dict(invariants))


def encode_rules(rules: Rules) -> tuple[ObjectId, bytes]:
    """The address and the bytes of the object."""
    content = msgspec.to_builtins(rules)
    said = {name: _without_nothing(content.pop(name)) for name in ("shared", "added") if name in content}
    data = encoding.encode({**content, **{name: part for name, part in said.items() if part}})
    return object_id(data), data


def decode_rules(data: bytes) -> Rules:
    """Raises MalformedObject or NewerFormat (``model.encoding``)."""
    rules = encoding.decode(data, Rules)
    if rules.version < 0 or bool(rules.version) != bool(rules.branch):
        raise encoding.MalformedObject(f'rules of version {rules.version} that branch "{rules.branch}" set')
    if encode_rules(rules)[1] != data:
        raise encoding.MalformedObject("rules with a section in which nothing is said")
    for part in (rules.shared, rules.added):
        if not all(part.tables.values()):
            raise encoding.MalformedObject("rules with a table of which nothing is said")
        for said in (part.default, *part.tables.values()):
            _check_words(said)
    return rules


def rule_set_id(rules: RuleSet) -> ObjectId:
    """What tells sets apart: equal ones have the same."""
    return object_id(encoding.encode(_without_nothing(msgspec.to_builtins(rules))))


def column_policy(text: str) -> tuple[str, str | None]:
    """A column's policy and, for ``prefer``, its branch. Raises ValueError for what is none."""
    policy, _, branch = text.partition(" ")
    if policy not in POLICIES or bool(branch) != (policy == PREFER):
        raise ValueError(text)
    if policy == PREFER:
        try:
            ref_name(branch)
        except UsageError as error:
            raise ValueError(text) from error
    return policy, branch or None


def shared_only(rules: Rules) -> Rules:
    """The rules without what one place added."""
    return with_added(rules, RuleSet())


def with_added(rules: Rules, added: RuleSet) -> Rules:
    """The same shared rules, with what one place adds to them."""
    return Rules(rules.version, rules.branch, rules.store, rules.shared, added, rules.requires)


def joined(a: Rules, b: Rules) -> Rules:
    """The shared rules of two commits together: those of the newer version; of two different sets of one version, that
    with the smaller object id. In either order the same, and what a place added is not in them."""
    return min(shared_only(a), shared_only(b), key=lambda rules: (-rules.version, encode_rules(rules)[0]))


def rules_said(said: TableRules) -> dict[RuleKey, RuleValue]:
    """Each rule of a section by its key; a dropped column is a rule of its own."""
    found: dict[RuleKey, RuleValue] = {}
    for name in ("flow", "newest", "prefer", "owner", "append_only", "delete", "renumber", "gone"):
        if value := getattr(said, name):
            found[(name,)] = value
    found |= {("columns", column): policy for column, policy in said.columns.items()}
    found |= {("renamed", column): name for column, name in said.renamed.items()}
    return found | {("dropped", column): True for column in said.dropped}


def rules_of(said: Mapping[RuleKey, RuleValue]) -> TableRules:
    """The section that ``rules_said`` takes apart."""
    single = {key[0]: value for key, value in said.items() if len(key) == 1}
    below = {name: {key[1]: value for key, value in said.items() if key[0] == name} for name in ("columns", "renamed")}
    dropped = sorted(key[1] for key in said if key[0] == "dropped")
    return msgspec.convert({**single, **below, "dropped": dropped}, TableRules)


def effective(rules: Rules, table: str) -> TableRules:
    """What holds for a table: what is said by its name goes before the default, what is shared before what is added.

    ``newest`` and ``prefer`` of a whole table decide the same cells: who says one of them closes the place of the
    other. Where what is shared has one of them, no policy of a column is added.
    """
    return rules_of(_laid(_shared_said(rules, table), _added_said(rules, table), apart=True))


def renumbers(rules: Rules) -> bool:
    """Whether any table's rows may get new keys."""
    return any(said.renumber for rule_set in (rules.shared, rules.added) for said in rule_set.tables.values())


def only_added(rules: Rules, table: str) -> frozenset[str]:
    """Which of a table's effective rules the place added: ``newest``, ``columns.price``."""
    shared = _shared_said(rules, table)
    added = _laid(shared, _added_said(rules, table), apart=True).keys() - shared.keys()
    return frozenset(".".join(key) for key in added)


class Contradiction(msgspec.Struct, frozen=True):
    """A rule of a place's file that head office's leave no room for. ``path`` and ``rule`` are keys as the
    configuration has them: the file's, and that of head office's rule."""

    path: tuple[str, ...]
    value: str
    rule: tuple[str, ...]
    said: str


def beyond(own: RuleSet, shared: RuleSet) -> tuple[RuleSet, tuple[Contradiction, ...]]:
    """What a file adds to the shared rules, and what in it contradicts them, by its key. What both say is in
    neither."""
    found: list[Contradiction] = []
    default = _beyond(("default",), own.default, {}, rules_said(shared.default), found)
    tables = {}
    for name, said in sorted(own.tables.items()):
        by_name, by_default = rules_said(shared.table(name)), rules_said(shared.default)
        tables[name] = _beyond(("table", name), said, by_name, by_default, found)
    invariants = {name: one for name, one in own.invariants.items() if name not in shared.invariants}
    for name, one in sorted(own.invariants.items()):
        there = shared.invariants.get(name)
        if there is not None and there != one:
            path = ("invariant", name)
            found.append(Contradiction(path, one.sql, path, there.sql))
    return rule_set(default, tables, invariants), tuple(found)


def _beyond(
    section: tuple[str, ...],
    own: TableRules,
    by_name: Mapping[RuleKey, RuleValue],
    by_default: Mapping[RuleKey, RuleValue],
    found: list[Contradiction],
) -> TableRules:
    shared = _laid(by_name, by_default)
    added: dict[RuleKey, RuleValue] = {}
    for key, value in rules_said(own).items():
        rule = next((each for each in _closing(key, apart=True) if each in shared), None)
        if rule is None:
            added[key] = value
        elif rule != key or shared[rule] != value:
            where = section if rule in by_name else ("default",)
            found.append(Contradiction((*section, *key), _word(value), (*where, *rule), _word(shared[rule])))
    return rules_of(added)


def _shared_said(rules: Rules, table: str) -> dict[RuleKey, RuleValue]:
    return _laid(rules_said(rules.shared.table(table)), rules_said(rules.shared.default))


def _added_said(rules: Rules, table: str) -> dict[RuleKey, RuleValue]:
    return _laid(rules_said(rules.added.table(table)), rules_said(rules.added.default))


def _laid(
    first: Mapping[RuleKey, RuleValue], then: Mapping[RuleKey, RuleValue], apart: bool = False
) -> dict[RuleKey, RuleValue]:
    """The first, and of the other what it leaves open."""
    return {
        **{key: value for key, value in then.items() if not any(each in first for each in _closing(key, apart))},
        **first,
    }


def _closing(key: RuleKey, apart: bool) -> Iterator[RuleKey]:
    """The rules that leave no room for one of this key; ``apart``: said in another place than it."""
    yield key
    if key == ("newest",):
        yield ("prefer",)
    if key == ("prefer",):
        yield ("newest",)
    if key[0] == "columns" and apart:
        yield from (("newest",), ("prefer",))


def _without_nothing(content: dict[str, Any]) -> dict[str, Any]:
    """A set of rules without a default that says nothing: the encoder leaves out defaults only where they are the very
    object that the class has."""
    return {name: part for name, part in content.items() if name != "default" or part}


def _word(value: RuleValue) -> str:
    return value if isinstance(value, str) else str(value).lower()


def _check_words(said: TableRules) -> None:
    for value, words in ((said.flow, FLOWS), (said.delete, DELETES), (said.renumber, RENUMBERS)):
        if value is not None and value not in words:
            raise encoding.MalformedObject(f'rules with the word "{value}", which means nothing here')
    if list(said.dropped) != sorted(set(said.dropped)):
        raise encoding.MalformedObject("rules whose dropped columns are not in order")
    for column, policy in said.columns.items():
        try:
            column_policy(policy)
        except ValueError:
            raise encoding.MalformedObject(f'rules with the policy "{policy}" for column "{column}"') from None
