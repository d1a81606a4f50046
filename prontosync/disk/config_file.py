"""``prontosync.toml`` read strictly: what it does not know it refuses, with the line and the nearest name it knows."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from prontosync.disk import files
from prontosync.disk.config import (
    KEYS,
    LATER_KEYS,
    RESERVED_REMOTES,
    SECTIONS,
    Config,
    ConfigError,
    ConfigKey,
    KeyPath,
    RemoteConfig,
    SourceConfig,
    StoreConfig,
    TableConfig,
    suggestion,
)
from prontosync.disk.config_lines import line_of
from prontosync.disk.config_values import key_text, value_of
from prontosync.errors import UsageError
from prontosync.model.names import ref_name, simple_name

_AT_LINE = re.compile(r"(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


def load(path: Path) -> Config:
    """The configuration. Raises ConfigError where there is none, or it is not as it should be."""
    return decode(read(path), path)


def read(path: Path) -> str:
    """The file's text. Raises ConfigError where there is none or it is not UTF-8."""
    try:
        return files.read_bytes(path).decode("utf-8-sig")
    except files.FileMissing as error:
        raise ConfigError("it does not exist", "prontosync init", origin=path) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError("this is not UTF-8", "save the file as UTF-8", origin=path, line=line) from error


def decode(text: str, origin: Path) -> Config:
    """The configuration that ``text`` holds; ``origin`` is for messages. Raises ConfigError."""
    document = parse(text, origin)
    try:
        return _config(document)
    except ConfigError as error:
        raise ConfigError(error.what, error.hint, error.path, origin, line_of(text, error.path)) from error


def parse(text: str, origin: Path) -> dict[str, Any]:
    """The plain content of a TOML text. Raises ConfigError with the line."""
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError("values are nested too deep", origin=origin) from error
    except ValueError as error:
        what, line = _syntax_fault(str(error), text)
        raise ConfigError(what, "correct the line, then run it again", origin=origin, line=line) from error


def find_key(path: KeyPath) -> ConfigKey:
    """The key that ``path`` is an instance of. Raises ConfigError for what is unknown, or known and not supported."""
    found = next((key for key in KEYS if _matches(key.parts, path)), None)
    if not found and _starts(path):
        raise ConfigError(f'"{key_text(path)}" is a section, not a key', suggestion("", _names_below(path)), path)
    return found or _refuse(path, maybe_dotted=len(path) > 3)


def section_of(path: KeyPath) -> KeyPath:
    """The section that a key stands in: ``("store",)``, ``("remote", "hub")``."""
    return next(path[: len(parts)] for parts in _SECTION_PARTS if _matches(parts, path[: len(parts)]))


_SECTION_PARTS = tuple(tuple(section.split(".")) for section in SECTIONS)


def _syntax_fault(message: str, text: str) -> tuple[str, int | None]:
    found = _AT_LINE.fullmatch(message)
    if not found:
        return message[:1].lower() + message[1:], None
    what = found[1][:1].lower() + found[1][1:]
    if found[2] is None:
        return f"{what} at the end", text.count("\n") + 1
    return f"{what} at column {found[3]}", int(found[2])


def _matches(pattern: KeyPath, path: KeyPath) -> bool:
    return len(pattern) == len(path) and all(a in {"*", b} for a, b in zip(pattern, path, strict=True))


def _starts(path: KeyPath) -> bool:
    """Whether some key lies below ``path``."""
    return any(_matches(key.parts[: len(path)], path) and len(key.parts) > len(path) for key in KEYS)


def _refuse(path: KeyPath, *, maybe_dotted: bool) -> NoReturn:
    if any(_matches(tuple(later.split(".")), path) for later in LATER_KEYS):
        raise ConfigError(f'"{key_text(path)}" is not supported yet by this version', "take it out", path)
    deepest = next(size for size in range(len(path) - 1, -1, -1) if not size or _starts(path[:size]))
    holder, name = path[:deepest], key_text(path[deepest:])
    hint = suggestion(name, _names_below(holder))
    if len(holder) == 2 and maybe_dotted and not hint.startswith("did"):
        hint = f"a name that holds a dot is quoted: {key_text((holder[0], '.'.join(path[1:3])))}"
    where = f'key "{name}" in [{key_text(holder)}]' if holder else f'section "{name}"'
    raise ConfigError(f"unknown {where}", hint, path)


def _names_below(holder: KeyPath) -> list[str]:
    size = len(holder)
    names = [key.parts[size] for key in KEYS if len(key.parts) > size and _matches(key.parts[:size], holder)]
    return list(dict.fromkeys(name for name in names if name != "*"))


def _leaves(value: object, path: KeyPath = ()) -> Iterator[tuple[KeyPath, object]]:
    """Each key of the file with its value in our form, and each section with None."""
    key = next((key for key in KEYS if _matches(key.parts, path)), None)
    if key:
        yield path, _value(key, value, path)
    elif path and not _starts(path):
        _refuse(path, maybe_dotted=isinstance(value, dict))
    elif not isinstance(value, dict):
        raise ConfigError(f'"{key_text(path)}" must be a section, not a value', f"write [{key_text(path)}]", path)
    else:
        yield path, None
        for name, inner in value.items():
            yield from _leaves(inner, (*path, name))


def _value(key: ConfigKey, raw: object, path: KeyPath) -> object:
    try:
        return value_of(key, raw)
    except (ConfigError, UsageError) as error:
        what = error.what if isinstance(error, ConfigError) else error.message
        hint = error.hint or f"write {key_text(path[len(section_of(path)) :])} = {key.example}"
        raise ConfigError(f'"{key_text(path)}" {what}' if what.startswith("must") else what, hint, path) from error


def _config(document: dict[str, Any]) -> Config:
    leaves = dict(_leaves(document))
    remotes = {name: _remote(leaves, name) for name in document.get("remote", {})}
    tables = {name: _table(leaves, name) for name in document.get("table", {})}
    source = _source(leaves) if "source" in document else None
    store = _store(leaves, remotes) if "store" in document else None
    if source and not store:
        raise ConfigError("[source] needs a [store] beside it", 'write [store] and name = "012"', ("source",))
    return Config(store, source, remotes, tables)


def _fields(leaves: dict[KeyPath, Any], section: KeyPath) -> dict[str, Any]:
    """The values of one section, by key. Raises ConfigError where one that must be there is not."""
    size = len(section)
    fields = {path[size]: value for path, value in leaves.items() if path[:size] == section and len(path) == size + 1}
    for key in KEYS:
        if key.required and _matches(key.parts[:size], section) and key.parts[size] not in fields:
            name = key.parts[size]
            raise ConfigError(f'[{key_text(section)}] has no "{name}"', f"write {name} = {key.example}", section)
    return fields


def _store(leaves: dict[KeyPath, Any], remotes: dict[str, RemoteConfig]) -> StoreConfig:
    fields = _fields(leaves, ("store",))
    branch = fields.setdefault("branch", f"stores/{fields['name']}")
    path = ("store", "branch" if ("store", "branch") in leaves else "name")
    _named(lambda: ref_name(branch, remotes), path)
    if "upstream" in fields:
        _check_upstream(fields["upstream"], remotes)
    return StoreConfig(**fields)


def _check_upstream(upstream: str, remotes: dict[str, RemoteConfig]) -> None:
    path = ("store", "upstream")
    remote, _, branch = upstream.partition("/")
    if not branch:
        raise ConfigError(f'"{upstream}" is not a branch of a remote', 'write upstream = "office/main"', path)
    _named(lambda: ref_name(branch), path)
    if remote not in remotes:
        what = f'"store.upstream" is "{upstream}", and there is no remote "{remote}"'
        hint = suggestion(remote, remotes) if remotes else f"prontosync remote add {remote} URL"
        raise ConfigError(what, hint if hint.startswith("did") else f"prontosync remote add {remote} URL", path)


def _source(leaves: dict[KeyPath, Any]) -> SourceConfig:
    fields = _fields(leaves, ("source",))
    if fields.get("tables") == ():
        raise ConfigError('"source.tables" must name a table', 'write tables = ["*"]', ("source", "tables"))
    return SourceConfig(**fields)


def _remote(leaves: dict[KeyPath, Any], name: str) -> RemoteConfig:
    path = ("remote", name)
    _named(lambda: simple_name(name, "remote"), path)
    if name in RESERVED_REMOTES:
        raise ConfigError(f'a remote must not be named "{name}": our own refs start so', "choose another name", path)
    return RemoteConfig(name, **_fields(leaves, path))


def _table(leaves: dict[KeyPath, Any], name: str) -> TableConfig:
    path = ("table", name)
    fields = _fields(leaves, path)
    for section in {"columns", "renamed"} & fields.keys():
        below = (*path, section)
        fields[section] = {key[3]: value for key, value in leaves.items() if key[:3] == below and len(key) == 4}
    if fields.get("key") == ():
        raise ConfigError(f'"{key_text((*path, "key"))}" must name a column', 'write key = ["id"]', (*path, "key"))
    table = TableConfig(**fields)
    for column in table.skip:
        if column in table.key or column in table.columns or column == table.actor:
            what = f'column "{column}" of table "{name}" is skipped, and used by another key of the section'
            raise ConfigError(what, "take it out of skip", (*path, "skip"))
    return table


def _named(check: Callable[[], str], path: KeyPath) -> None:
    try:
        check()
    except UsageError as error:
        raise ConfigError(error.message, error.hint, path) from error
