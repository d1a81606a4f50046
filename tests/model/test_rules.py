"""Rules of merging as values: one encoding, which one holds for a table, and what a place's file may add."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prontosync.model.encoding import MalformedObject, NewerFormat, encode
from prontosync.model.rules import (
    DELETES,
    FLOWS,
    RENUMBERS,
    Contradiction,
    Invariant,
    Rules,
    RuleSet,
    TableRules,
    beyond,
    column_policy,
    decode_rules,
    effective,
    encode_rules,
    joined,
    only_added,
    rule_set,
    rule_set_id,
    rules_of,
    rules_said,
    with_added,
)

NAMES = st.sampled_from(["a", "b", "c", "columns", "x.y"])
BRANCHES = st.sampled_from(["main", "stores/012"])
POLICIES = st.sampled_from(["sum", "max", "min", "none", "prefer main", "prefer stores/012"])
TABLE_RULES = st.builds(
    TableRules,
    flow=st.none() | st.sampled_from(FLOWS),
    columns=st.dictionaries(NAMES, POLICIES, max_size=2),
    newest=st.none() | NAMES,
    prefer=st.none() | BRANCHES,
    owner=st.none() | NAMES,
    append_only=st.booleans(),
    delete=st.none() | st.sampled_from(DELETES),
    renumber=st.none() | st.sampled_from(RENUMBERS),
    renamed=st.dictionaries(NAMES, NAMES, max_size=2),
    dropped=st.lists(NAMES, unique=True, max_size=2).map(lambda names: tuple(sorted(names))),
    gone=st.booleans(),
)
TABLES = st.sampled_from(["stock", "customer"])
RULE_SETS = st.builds(
    rule_set,
    TABLE_RULES,
    st.dictionaries(TABLES, TABLE_RULES, max_size=2),
    st.dictionaries(NAMES, st.builds(Invariant, TABLES, st.text(min_size=1)), max_size=2),
)
PUBLISHED = st.builds(Rules, st.integers(1, 3), st.just("main"), st.just("main"), RULE_SETS, RULE_SETS)


@given(st.one_of(PUBLISHED, st.builds(Rules, shared=RULE_SETS)))
def test_one_value_has_one_encoding_and_is_read_back(rules: Rules) -> None:
    identity, data = encode_rules(rules)
    assert decode_rules(data) == rules
    assert encode_rules(decode_rules(data)) == (identity, data)


def test_nothing_is_said_in_one_way() -> None:
    empty = rule_set(TableRules(), {"a": TableRules()}, {})
    assert rule_set_id(empty) == rule_set_id(RuleSet())
    assert encode_rules(Rules(shared=empty, added=empty)) == encode_rules(Rules())
    assert not Rules(shared=empty, added=empty)


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b'{"kind":"rules","version":-1}',
        b'{"kind":"rules","version":1}',
        b'{"branch":"main","kind":"rules"}',
        b'{"kind":"rules","version":0}',
        b'{"kind":"rules","shared":{"tables":{"a":{}}}}',
        b'{"kind":"rules","shared":{"default":{}}}',
        b'{"added":{},"kind":"rules"}',
        b'{"kind":"rules","shared":{"tables":{"a":{"flow":"up"}}}}',
        b'{"kind":"rules","shared":{"tables":{"a":{"delete":"main"}}}}',
        b'{"kind":"rules","shared":{"tables":{"a":{"columns":{"b":"avg"}}}}}',
        b'{"kind":"rules","shared":{"tables":{"a":{"columns":{"b":"prefer"}}}}}',
        b'{"kind":"rules","shared":{"tables":{"a":{"columns":{"b":"prefer A B"}}}}}',
        b'{"kind":"rules","shared":{"tables":{"a":{"dropped":["b","a"]}}}}',
        b'{"kind":"rules","shared":{"tables":{"a":{"prefers":"main"}}}}',
    ],
)
def test_what_no_writer_writes_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedObject):
        decode_rules(data)


def test_rules_of_a_newer_version_are_not_guessed_at() -> None:
    with pytest.raises(NewerFormat) as caught:
        decode_rules(encode({"kind": "rules", "requires": ["median"], "shared": {"tables": {"a": {"median": "x"}}}}))
    assert caught.value.exit == 10


@given(TABLE_RULES)
def test_a_section_is_its_rules(said: TableRules) -> None:
    assert rules_of(rules_said(said)) == said


@given(PUBLISHED, PUBLISHED, PUBLISHED)
def test_joining_is_the_same_in_any_order_and_forgets_what_was_added(a: Rules, b: Rules, c: Rules) -> None:
    assert joined(a, b) == joined(b, a)
    assert joined(joined(a, b), c) == joined(a, joined(b, c))
    assert joined(a, a) == with_added(a, RuleSet())
    assert joined(a, Rules()) == with_added(a, RuleSet())


@given(RULE_SETS, RULE_SETS, TABLES)
def test_head_office_s_rules_hold_whatever_a_file_says(shared: RuleSet, own: RuleSet, table: str) -> None:
    published = Rules(1, "main", "main", shared)
    added, contradictions = beyond(own, shared)
    together = with_added(published, added)
    before, after = rules_said(effective(published, table)), rules_said(effective(together, table))
    assert before.items() <= after.items()
    assert {".".join(key) for key in after.keys() - before.keys()} == only_added(together, table)
    assert beyond(added, shared) == (added, ())
    said = {(*("table", name), *key) for name, rules in own.tables.items() for key in rules_said(rules)}
    said |= {("default", *key) for key in rules_said(own.default)} | {("invariant", name) for name in own.invariants}
    assert {each.path for each in contradictions} <= said


@given(RULE_SETS)
def test_a_file_that_says_what_head_office_says_adds_nothing(shared: RuleSet) -> None:
    plain = rule_set(
        rules_of({k: v for k, v in rules_said(shared.default).items() if k != ("newest",)}),
        {name: rules_of(_plain(said)) for name, said in shared.tables.items()},
        shared.invariants,
    )
    assert beyond(plain, plain) == (RuleSet(), ())


def _plain(said: TableRules) -> dict[tuple[str, ...], str | bool]:
    """Without ``newest`` beside ``prefer``, which no file may say together."""
    return {key: value for key, value in rules_said(said).items() if key != ("newest",)}


def test_what_is_said_of_a_table_goes_before_the_default() -> None:
    shared = RuleSet(
        TableRules(flow="down", prefer="main", delete="wins"),
        {"customer": TableRules(newest="updated_at", delete="loses"), "stock": TableRules(columns={"n": "sum"})},
    )
    rules = Rules(1, "main", "main", shared, RuleSet(TableRules(renumber="store")))
    assert effective(rules, "customer") == TableRules(
        flow="down", newest="updated_at", delete="loses", renumber="store"
    )
    stock = TableRules(flow="down", prefer="main", delete="wins", columns={"n": "sum"}, renumber="store")
    assert effective(rules, "stock") == stock
    assert only_added(rules, "stock") == {"renumber"}


@pytest.mark.parametrize(
    ("shared", "own", "rule"),
    [
        (TableRules(columns={"n": "sum"}), TableRules(columns={"n": "max"}), ("columns", "n")),
        (TableRules(newest="t"), TableRules(prefer="stores/012"), ("newest",)),
        (TableRules(newest="t"), TableRules(columns={"n": "sum"}), ("newest",)),
        (TableRules(prefer="main"), TableRules(columns={"n": "none"}), ("prefer",)),
        (TableRules(flow="down"), TableRules(flow="shared"), ("flow",)),
    ],
)
def test_a_file_cannot_go_around_head_office_s_rule(shared: TableRules, own: TableRules, rule: tuple[str, ...]) -> None:
    for there in (RuleSet(tables={"a": shared}), RuleSet(default=shared)):
        if shared.columns and there.default.columns:
            continue
        added, (found,) = beyond(RuleSet(tables={"a": own}), there)
        assert not added
        section = ("table", "a") if there.tables else ("default",)
        assert isinstance(found, Contradiction)
        assert found.rule == (*section, *rule)


def test_policies_of_columns() -> None:
    assert column_policy("prefer stores/012") == ("prefer", "stores/012")
    assert column_policy("sum") == ("sum", None)
    for text in ("", "prefer", "prefer ", "sum main", "prefer Main", "newest"):
        with pytest.raises(ValueError, match=f"^{text}$"):
            column_policy(text)
