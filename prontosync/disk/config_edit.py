"""``prontosync.toml`` written: by ``init`` and ``clone`` as a whole, by ``config`` and ``remote`` key by key.

An edit keeps comments and order, and is written only when the result loads and differs in nothing but what was asked.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from prontosync.disk import files
from prontosync.disk.config import Config, ConfigError, KeyPath, RemoteConfig
from prontosync.disk.config_file import decode, find_key, load, parse, read, section_of
from prontosync.disk.config_values import key_path, key_text, raw_of, text_of, toml_of
from prontosync.errors import NotFound, UsageError

_OPENING = "# what may stand here: prontosync-config(5)\n"


class NotSet(NotFound):
    id = "not-set"


class RemoteExists(UsageError):
    id = "remote-exists"


class RemoteUnknown(NotFound):
    id = "remote-unknown"


def initial(*, store: str | None = None, source_url: str | None = None, branch: str | None = None) -> str:
    """The text of a new configuration, ending with a newline; the caller has made ``source_url`` fit the folder.

    ``branch`` is written where it is not the store's default. Raises ConfigError where a value cannot stand there.
    """
    text = _OPENING
    if store is not None:
        own = branch if branch != f"stores/{store}" else None
        text = _with_section(text, ("store",), (("name", store), ("branch", own)))
    if source_url is not None:
        text = _with_section(text, ("source",), (("url", source_url),))
    try:
        decode(text, Path())
    except ConfigError as error:
        raise ConfigError(error.what, error.hint, error.path) from error
    return text


def get_value(path: Path, key: str) -> str | None:
    """What the file says for a key, as text that ``set_value`` takes; None where the default holds."""
    parts = key_path(key)
    find_key(parts)
    load(path)
    found: Any = parse(read(path), path)
    for part in parts:
        if part not in found:
            return None
        found = found[part]
    return text_of(found)


def list_values(path: Path) -> dict[str, str]:
    """Every key that the file sets, in its order, with its value as text."""
    load(path)
    return {key_text(parts): text_of(value) for parts, value in _flat(parse(read(path), path))}


def set_value(path: Path, key: str, text: str) -> None:
    """Set a key. Raises ConfigError, with nothing written, where the key is unknown or the result would not load."""
    set_values(path, {key: text})


def set_values(path: Path, values: Mapping[str, str], fits: Callable[[Config], None] = lambda config: None) -> None:
    """Set several keys in one step: a section that needs all of them is there at once. ``fits`` raises ConfigError
    where the result must not be."""
    raws = [(parts := key_path(key), raw_of(find_key(parts), text)) for key, text in values.items()]

    def wanted(content: dict[str, Any]) -> None:
        for parts, raw in raws:
            holder = content
            for part in parts[:-1]:
                holder = holder.setdefault(part, {})
            holder[parts[-1]] = raw

    def changed(before: str) -> str:
        for parts, raw in raws:
            section = section_of(parts)
            if _holds(tomllib.loads(before), section):
                before = _with_value(before, section, parts[len(section) :], toml_of(raw))
            else:
                before = _with_section(before, section, ((key_text(parts[len(section) :]), raw),))
        return before

    _edit(path, ", ".join(values), wanted, changed, fits)


def unset(path: Path, key: str) -> None:
    """Take a key out. Raises NotSet where it is not there, ConfigError where the result would not load."""
    parts = key_path(key)
    find_key(parts)
    if not _holds(parse(read(path), path), parts):
        raise NotSet(f'"{key}" is not set', "prontosync config list")
    _remove(path, parts)


def add_remote(path: Path, remote: RemoteConfig) -> None:
    """Write a section for a new remote. Raises RemoteExists, ConfigError."""
    section = ("remote", remote.name)
    if _holds(parse(read(path), path), section):
        raise RemoteExists(f'remote "{remote.name}" exists already', f"prontosync remote remove {remote.name}")
    optional = ("identity", "known_hosts", "fingerprint")
    pairs = [("url", remote.url), *((name, getattr(remote, name)) for name in optional)]
    pairs.append(("push", None if remote.push else False))
    content = {name: value for name, value in pairs if value is not None}

    def wanted(document: dict[str, Any]) -> None:
        document.setdefault("remote", {})[remote.name] = content

    _edit(path, key_text(section), wanted, lambda before: _with_section(before, section, content.items()))


def remove_remote(path: Path, name: str) -> None:
    """Take a remote's section out. Raises RemoteUnknown, and ConfigError where ``upstream`` still names it."""
    config = load(path)
    if name not in config.remotes:
        raise RemoteUnknown(f'there is no remote "{name}"', "prontosync remote list")
    if config.store and config.store.upstream and config.store.upstream.split("/")[0] == name:
        what = f'remote "{name}" is in use: "store.upstream" is "{config.store.upstream}"'
        raise ConfigError(what, 'take "upstream" out of [store] first', ("store", "upstream"))
    _remove(path, ("remote", name))


def _remove(path: Path, parts: KeyPath) -> None:
    def without(content: Any) -> None:
        holder = _drop(content, parts)
        if not holder and len(parts) > len(section_of(parts)) + 1:
            _drop(content, parts[:-1])

    def changed(before: str) -> str:
        import tomlkit

        document = tomlkit.parse(before)
        without(document)
        return tomlkit.dumps(document)

    _edit(path, key_text(parts), without, changed)


def _edit(
    path: Path,
    key: str,
    wanted: Callable[[dict[str, Any]], None],
    changed: Callable[[str], str],
    fits: Callable[[Config], None] = lambda config: None,
) -> None:
    """Write ``changed(text)`` where it loads, and holds what ``wanted`` makes of the content."""
    from tomlkit.exceptions import TOMLKitError

    before = read(path)
    content = parse(before, path)
    by_hand = ConfigError(f'"{key}" cannot be changed by this command', f'edit it by hand in "{path}"')
    try:
        wanted(content)
        after = changed(before)
        if tomllib.loads(after) != content:
            raise by_hand
    except (TOMLKitError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise by_hand from error
    _check(before, after, path, key, fits)
    target = path.resolve()
    files.replace(target, after.encode(), target.stat().st_mode & 0o777)


def _check(before: str, after: str, path: Path, key: str, fits: Callable[[Config], None]) -> None:
    try:
        fits(decode(after, path))
    except ConfigError as error:
        decode(before, path)
        raise ConfigError(f'"{key}" is left as it is: {error.what}', error.hint, error.path) from error


def _with_section(text: str, section: KeyPath, pairs: Iterable[tuple[str, object]]) -> str:
    """The text with a new section at its end; a pair whose value is None is left out."""
    lines = [f"[{key_text(section)}]", *(f"{name} = {toml_of(value)}" for name, value in pairs if value is not None)]
    kept = text.rstrip("\n")
    return (f"{kept}\n\n" if kept else "") + "\n".join(lines) + "\n"


def _with_value(text: str, section: KeyPath, rest: KeyPath, toml: str) -> str:
    import tomlkit

    document = tomlkit.parse(text)
    table: Any = document
    for part in section:
        table = table[part]
    value = tomlkit.value(toml)
    if len(rest) == 1:
        table[rest[0]] = value
    elif rest[0] in table:
        table[rest[0]][rest[1]] = value
    else:
        table.append(tomlkit.key(list(rest)), value)
    return tomlkit.dumps(document)


def _drop(content: Any, parts: KeyPath) -> Any:
    """Take a key out; returns what held it."""
    for part in parts[:-1]:
        content = content[part]
    del content[parts[-1]]
    return content


def _holds(content: Any, parts: KeyPath) -> bool:
    for part in parts:
        if not isinstance(content, dict) or part not in content:
            return False
        content = content[part]
    return True


def _flat(value: Any, path: KeyPath = ()) -> list[tuple[KeyPath, Any]]:
    if not isinstance(value, dict):
        return [(path, value)]
    return [leaf for name, inner in value.items() for leaf in _flat(inner, (*path, name))]
