"""Foreign text made visible: nothing that a row, a name or a message holds may steer the terminal it is shown on."""

from __future__ import annotations

import re

_CONTROLS = "\x00-\x1f\x7f-\x9f"
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_INVISIBLE = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2028\u2029\u2060-\u2065\u206a-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_SURROGATES = "\ud800-\udfff"
HOSTILE = f"{_CONTROLS}{_BIDI}{_INVISIBLE}{_SURROGATES}"
"""A regular expression's character class, without its brackets, of all that is never sent to a terminal as it is."""

_ANY = re.compile(f"[{HOSTILE}]")
_NOT_NEWLINE = re.compile(f"[{HOSTILE}]".replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escape(text: str) -> str:
    r"""The text on one line, with controls, bidi marks and invisible characters as ``\x1b``, ``\u202e`` and so on.

    A backslash stays as it is: the result is for eyes, not for reading back.
    """
    return _ANY.sub(_visible, text)


def escape_lines(text: str) -> str:
    """As ``escape``, for text whose line breaks are our own and stay."""
    return _NOT_NEWLINE.sub(_visible, text)


def escape_json(document: str) -> str:
    r"""A JSON document that means the same, with such characters in its strings as ``\uXXXX``.

    Line breaks stay: outside strings they are layout, and inside them the encoder has already escaped them.
    """
    return _NOT_NEWLINE.sub(_json_escape, document)


def _visible(match: re.Match[str]) -> str:
    character = match.group()
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
