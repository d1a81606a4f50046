"""The values of ``prontosync.toml``: what each type of key accepts, and how a value is written as text."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Sequence
from typing import TypeAlias
from urllib.parse import parse_qsl, urlsplit

from prontosync.disk.config import ConfigError, ConfigKey, KeyPath, suggestion
from prontosync.model.names import ref_name, store_name
from prontosync.model.rules import DELETES, FLOWS, POLICIES, PREFER, RENUMBERS, column_policy

Raw: TypeAlias = "str | bool | list[str]"
"""A value as the file holds it."""

_UNITS = {"B": 1} | {
    name: base**power
    for power, letter in enumerate("KMGT", 1)
    for name, base in ((f"{letter}B", 1000), (f"{letter}IB", 1024))
}
_SIZE = re.compile(r"([0-9]{1,15})\s*([A-Za-z]{1,3})")
_PERCENTAGE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)\s*%")
_DAYS = re.compile(r"([0-9]{1,4})\s*d")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BARE_LOGIN = re.compile(r"[^/:@]+:[^/@]*@")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_KEY_PART = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_FOUND = {bool: "true or false", int: "an integer", float: "a number", str: "text", list: "a list", dict: "a section"}


def value_of(key: ConfigKey, raw: object) -> object:
    """A value of the file in the form that the program uses. Raises ConfigError, without the place."""
    return KINDS[key.type](raw)


def raw_of(key: ConfigKey, text: str) -> Raw:
    """Words of the command line in the form that the file holds. Raises ConfigError."""
    if not _is_unicode(text):
        raise ConfigError("the value is not valid UTF-8")
    if key.type == "switch":
        if text not in {"true", "false"}:
            raise ConfigError(f'"{text}" is neither true nor false', "write true or false")
        return text == "true"
    return _list_of(text) if key.type in {"patterns", "columns"} else text


def text_of(raw: object) -> str:
    """The words that ``raw_of`` reads back as this value."""
    return raw if isinstance(raw, str) else toml_of(raw)


def toml_of(raw: object) -> str:
    """A value as TOML writes it."""
    if isinstance(raw, list):
        return "[" + ", ".join(toml_of(each) for each in raw) + "]"
    if isinstance(raw, bool):
        return "true" if raw else "false"
    # JSON's strings are TOML's but for one character, which TOML wants escaped
    return json.dumps(raw, ensure_ascii=False).replace("\x7f", "\\u007f")


def key_text(path: KeyPath) -> str:
    """A key as TOML and the command line write it, its parts quoted where they must be."""
    return ".".join(part if _BARE_KEY.fullmatch(part) else toml_of(part) for part in path)


def key_path(text: str) -> KeyPath:
    """The parts of a key of the command line. Raises ConfigError where it is not written as TOML writes keys."""
    parts, at = [], 0
    while _is_unicode(text) and (found := _KEY_PART.match(text, at)):
        parts.append(_unquoted(found[0]))
        at = found.end() + 1
        if found.end() == len(text):
            return tuple(parts)
        if text[found.end()] != ".":
            break
    raise ConfigError(f'"{text}" is not a key', 'quote unusual names as TOML does: table."odd name".flow')


def _unquoted(part: str) -> str:
    if part[0] not in "\"'":
        return part
    try:
        return str(tomllib.loads(f"part = {part}")["part"])
    except ValueError as error:
        raise ConfigError(f"{part} is not a quoted name", 'quote it as TOML does: "odd \\"name\\""') from error


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _list_of(text: str) -> list[str]:
    if not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",")]
    try:
        found = tomllib.loads(f"list = {text}")
    except (ValueError, RecursionError) as error:
        raise ConfigError(f'"{text}" is not a list', 'write a,b or ["a", "b"]') from error
    if found.keys() != {"list"}:
        raise ConfigError(f'"{text}" is not a list', 'write a,b or ["a", "b"]')
    return list(_texts(found["list"]))


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise ConfigError(f"must be text in quotes, not {_FOUND.get(type(raw), 'a date or time')}")
    return raw


def _line(raw: object) -> str:
    text = _text(raw)
    if not text.strip():
        raise ConfigError("must not be empty")
    if _CONTROL.search(text):
        raise ConfigError("must not hold control characters")
    return text


def _texts(raw: object) -> tuple[str, ...]:
    if not isinstance(raw, list):
        raise ConfigError(f"must be a list, not {_FOUND.get(type(raw), 'a date or time')}")
    if not all(isinstance(each, str) for each in raw):
        raise ConfigError("must be a list of texts in quotes")
    return tuple(raw)


def _patterns(raw: object) -> tuple[str, ...]:
    if "" in _texts(raw):
        raise ConfigError("must not hold an empty pattern")
    return _texts(raw)


def _columns(raw: object) -> tuple[str, ...]:
    names = _texts(raw)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f'must not name column "{twice}" twice')
    return names


def _switch(raw: object) -> bool:
    if not isinstance(raw, bool):
        raise ConfigError(f"must be true or false without quotes, not {_FOUND.get(type(raw), 'a date or time')}")
    return raw


def _path(raw: object) -> str:
    text = _line(raw)
    if text.startswith("~"):
        raise ConfigError('must be a path in full: "~" is not expanded')
    return text


def _url(raw: object) -> str:
    """The text as it stands; no message may quote it, because it may hold a password."""
    text = _path(raw)
    if _has_password(text):
        raise ConfigError(
            "must not hold a password: whoever reads the file could use it",
            "take the password out; for sftp log in with a key (identity)",
        )
    return text


def _has_password(text: str) -> bool:
    if "://" not in text:
        return bool(_BARE_LOGIN.match(text))
    try:
        parts = urlsplit(text)
    except ValueError:
        # the foreign message may quote the password
        raise ConfigError("must be a url or a path") from None
    # a password that holds "/" or "#" ends the host part early and leaves a port that is no number
    cut = "@" not in parts.netloc and not re.fullmatch(r"[^:]*(:[0-9]*)?|\[.*\](:[0-9]*)?", parts.netloc)
    named = any("password" in name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    return parts.password is not None or cut or named


def _time_zone(raw: object) -> str:
    import zoneinfo

    text = _line(raw)
    # a machine without a table of zones cannot tell, and must not stop for it
    if _is_zone(text) or not _is_zone("UTC"):
        return text
    raise ConfigError(f'"{text}" is not a time zone', _near_zone(text, zoneinfo.available_timezones()))


def _near_zone(text: str, zones: set[str]) -> str:
    found = suggestion(text, sorted(zones))
    return found if found.startswith("did") else "write an IANA name such as America/Mexico_City"


def _is_zone(name: str) -> bool:
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _size(raw: object) -> int:
    found = _SIZE.fullmatch(_line(raw))
    if not found or found[2].upper() not in _UNITS:
        raise ConfigError(f'"{raw}" is not a size', "write a whole number and B, KB, MB, GB or TB, such as 500MB")
    unit: int = _UNITS[found[2].upper()]
    return int(found[1]) * unit


def _percentage(raw: object) -> float:
    found = _PERCENTAGE.fullmatch(_line(raw))
    if not found or float(found[1]) > 100:
        raise ConfigError(f'"{raw}" is not a percentage', "write 0% to 100%, such as 2%")
    return float(found[1]) / 100


def _days(raw: object) -> int:
    found = _DAYS.fullmatch(_line(raw))
    if not found:
        raise ConfigError(f'"{raw}" is not a number of days', "write a whole number and d, such as 7d")
    return int(found[1])


def _fingerprint(raw: object) -> str:
    text = _line(raw)
    if not _FINGERPRINT.fullmatch(text):
        raise ConfigError(f'"{text}" is not a fingerprint', "write it as ssh-keygen -l prints it, SHA256:…")
    return text


def _one_of(words: Sequence[str], what: str) -> Callable[[object], str]:
    def chosen(raw: object) -> str:
        text = _text(raw)
        if text not in words:
            raise ConfigError(f'"{text}" is not {what}', suggestion(text, words))
        return text

    return chosen


def _policy(raw: object) -> str:
    text = _text(raw)
    policy, _, branch = text.partition(" ")
    if policy == PREFER and branch:
        ref_name(branch)
    if policy == PREFER and not branch:
        raise ConfigError(f'"{text}" does not say which branch', 'write "prefer main" or "prefer stores/012"')
    try:
        column_policy(text)
    except ValueError:
        known = [f"{PREFER} BRANCH" if each == PREFER else each for each in POLICIES]
        raise ConfigError(f'"{text}" is not a policy', suggestion(text, known)) from None
    return text


def _sql(raw: object) -> str:
    text = _text(raw)
    if not text.strip():
        raise ConfigError("must not be empty")
    return text


KINDS: dict[str, Callable[[object], object]] = {
    "store": lambda raw: store_name(_text(raw)),
    "branch": lambda raw: ref_name(_text(raw)),
    "remote branch": _line,
    "time zone": _time_zone,
    "size": _size,
    "url": _url,
    "path": _path,
    "patterns": _patterns,
    "columns": _columns,
    "column": _text,
    "switch": _switch,
    "percentage": _percentage,
    "days": _days,
    "fingerprint": _fingerprint,
    "flow": _one_of(FLOWS, "a flow"),
    "policy": _policy,
    "deletion": _one_of(DELETES, "a deletion"),
    "side": _one_of(RENUMBERS, "a side"),
    "table": _line,
    "sql": _sql,
}
"""Every type of a key, and what turns the file's value into ours or says why not."""
