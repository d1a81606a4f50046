"""Rules of merging in ``prontosync.toml`` that make no sense: by themselves, or for the tables they are about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prontosync.disk.config import Config, ConfigError, KeyPath, TableConfig, suggestion
from prontosync.disk.config_lines import line_of
from prontosync.errors import UsageError
from prontosync.model.names import ref_name
from prontosync.model.rules import MAX, MIN, SUM, TableRules, column_policy
from prontosync.model.schema import TableSchema, decimal_parts

_ADDED = frozenset(["int64", "float64"])
_ORDERED = frozenset(["int64", "float64", "date", "time", "timestamp", "timestamptz", "text"])
_LATER = frozenset(["timestamp", "timestamptz", "date", "int64", "text"])
_OWNERS = frozenset(["text", "int64", "uuid"])
_AT_HEAD_OFFICE = "set it at head office: its rules reach every store with the next merge"


def check_rules(config: Config) -> None:
    """Raises ConfigError, without the place, for rules that contradict each other or that this place may not set."""
    for section, said in _sections(config):
        _check_branches(section, said, config)
        _check_time(section, said)
        _check_together(section, said)
        _check_names(section, said)
    if not config.is_head_office:
        _check_store(config)


def check_against_schema(config: Config, tables: Mapping[str, TableSchema]) -> None:
    """Raises ConfigError, with the line, where what is said about a table's columns does not fit them; tables that are
    not there pass."""
    try:
        for name, said in config.tables.items():
            if name in tables:
                _check_table(name, said, tables[name])
    except ConfigError as error:
        line = line_of(config.text, error.path) if config.text else None
        raise ConfigError(error.what, error.hint, error.path, config.origin, line) from error


def _sections(config: Config) -> Iterator[tuple[KeyPath, TableRules]]:
    yield ("default",), config.default
    for name, table in config.tables.items():
        yield ("table", name), table.rules


def _branches(said: TableRules) -> Iterator[tuple[KeyPath, str]]:
    if said.prefer is not None:
        yield ("prefer",), said.prefer
    for column, policy in said.columns.items():
        branch = column_policy(policy)[1]
        if branch is not None:
            yield ("columns", column), branch


def _check_branches(section: KeyPath, said: TableRules, config: Config) -> None:
    for key, branch in _branches(said):
        try:
            ref_name(branch, config.remotes)
        except UsageError as error:
            hint = f'name the branch as its own place does: "{branch.partition("/")[2]}"'
            raise ConfigError(error.message, hint, (*section, *key)) from error


def _check_time(section: KeyPath, said: TableRules) -> None:
    if said.newest is None:
        return
    policy = said.columns.get(said.newest)
    if policy not in {None, MAX}:
        what = f'column "{said.newest}" tells which edit is the newest, and cannot have the policy "{policy}"'
        raise ConfigError(what, 'take the policy out, or write "max"', (*section, "columns", said.newest))
    if said.prefer is not None:
        what = '"newest" lets the last edit win, whoever made it, and "prefer" lets one branch alone write'
        raise ConfigError(what, "take one of them out", (*section, "newest"))


def _check_together(section: KeyPath, said: TableRules) -> None:
    sums = [column for column, policy in said.columns.items() if policy == SUM]
    if said.append_only and sums:
        what = f'column "{sums[0]}" cannot have the policy "sum" where "append_only" forbids every update of a row'
        raise ConfigError(what, "take one of them out", (*section, "columns", sums[0]))
    used = {said.newest, said.owner, *said.columns, *said.renamed.values()}
    for column in said.dropped:
        if column in used or column in said.renamed:
            what = f'column "{column}" is to be dropped, and another key of the section is about it'
            raise ConfigError(what, "take one of them out", (*section, "dropped"))


def _check_names(section: KeyPath, said: TableRules) -> None:
    names = list(said.renamed.values())
    for old, new in said.renamed.items():
        what = None
        if old == new:
            what = f'column "{old}" is renamed to itself'
        elif names.count(new) > 1:
            what = f'two columns are renamed to "{new}"'
        elif new in said.renamed:
            what = f'column "{old}" is renamed to "{new}", which is renamed itself'
        if what:
            raise ConfigError(what, "name the column as it was and as it is now", (*section, "renamed", old))


def _check_store(config: Config) -> None:
    """What only head office may say; a place with an upstream is not head office."""
    for name, one in config.invariants.items():
        if one.refuse:
            what = f'invariant "{name}" may refuse merges at head office only, and this place has an upstream'
            raise ConfigError(what, _AT_HEAD_OFFICE, ("invariant", name, "refuse"))
    for name, table in config.tables.items():
        key = "dropped" if table.rules.dropped else "gone" if table.rules.gone else None
        if key:
            what = f'"{key}" of table "{name}" is for head office to say, and this place has an upstream'
            raise ConfigError(what, _AT_HEAD_OFFICE, ("table", name, key))


def _check_table(name: str, said: TableConfig, schema: TableSchema) -> None:
    path, rules = ("table", name), said.rules
    named: list[tuple[KeyPath, str]] = [(("key",), column) for column in said.key]
    named += [((key,), single) for key, single in _single(said) if single is not None]
    named += [(("columns", column), column) for column in rules.columns]
    for key, column in named:
        if column not in schema.names:
            what = f'table "{name}" has no column "{column}", which "{".".join(key)}" names'
            raise ConfigError(what, suggestion(column, schema.names), (*path, *key))
    for column, policy in rules.columns.items():
        _fit(_policy_fault(column, policy, schema), f'policy "{policy}"', name, column, (*path, "columns", column))
    for role, chosen, kinds in (("newest", rules.newest, _LATER), ("owner", rules.owner, _OWNERS)):
        if chosen is not None:
            fault = _role_fault(chosen, schema, kinds, may_be_key=role == "owner")
            _fit(fault, f'role "{role}"', name, chosen, (*path, role))
    _check_ends(name, rules, schema)


def _check_ends(name: str, rules: TableRules, schema: TableSchema) -> None:
    ends: list[tuple[KeyPath, str]] = [(("renamed", old), old) for old in rules.renamed]
    ends += [(("dropped",), column) for column in rules.dropped]
    for key, column in ends:
        if column in schema.key or rules.renamed.get(column) in schema.key:
            what = f'column "{column}" of table "{name}" is part of the key, which is neither renamed nor dropped'
            raise ConfigError(what, "take it out", ("table", name, *key))


def _single(said: TableConfig) -> Iterator[tuple[str, str | None]]:
    yield from (("actor", said.actor), ("newest", said.rules.newest), ("owner", said.rules.owner))


def _fit(fault: str | None, what: str, table: str, column: str, path: KeyPath) -> None:
    if fault:
        hint = f"take the {what.partition(' ')[0]} out"
        raise ConfigError(f'column "{column}" of table "{table}" cannot have the {what}: {fault}', hint, path)


def _policy_fault(column: str, policy: str, schema: TableSchema) -> str | None:
    if column in schema.key:
        return "it is part of the key, and a row with another key is another row"
    kind, word = schema.type_of(column), column_policy(policy)[0]
    if word == SUM and kind not in _ADDED and not decimal_parts(kind):
        return f"its type is {kind}, and only int64, float64 and decimal can be added"
    if word in {MAX, MIN} and kind not in _ORDERED and not decimal_parts(kind):
        return f"its type is {kind}, and only numbers, dates, times and text have a larger and a smaller"
    return None


def _role_fault(column: str, schema: TableSchema, kinds: frozenset[str], may_be_key: bool) -> str | None:
    if column in schema.key and not may_be_key:
        return "it is part of the key, and never changes"
    kind = schema.type_of(column)
    return None if kind in kinds else f"its type is {kind}, and it must be one of {', '.join(sorted(kinds))}"
