"""A document as a man page, in the man(7) macros. No date: the same commands give the same bytes."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from prontosync.cli.document import Block, Definitions, Document, Heading, Paragraph, Verbatim

_LITERAL = re.compile(r"`([^`]+)`")


def roff(document: Document) -> str:
    """The page's source, UTF-8 text with a line break at its end."""
    name = _plain(document.stem)
    lines = [
        f'.TH {document.stem.upper()} {document.volume} "" "ProntoSync" "ProntoSync manual"',
        ".SH NAME",
        rf"{name} \- {_plain(document.summary)}",
    ]
    for before, block in zip((None, *document.blocks), document.blocks, strict=False):
        lines += _block(block, first=isinstance(before, Heading))
    if document.related:
        lines += [".SH SEE ALSO", ",\n".join(_reference(each) for each in document.related)]
    return "\n".join(lines) + "\n"


def _block(block: Block, *, first: bool) -> Iterator[str]:
    match block:
        case Heading(text, level):
            # Capitals are the custom for words of our own; a name, `[store]` or `prontosync remote`, is left alone.
            yield f".SH {_plain(text.upper() if text[0].isupper() else text)}" if level == 1 else f".SS {_plain(text)}"
        case Paragraph(text):
            if not first:
                yield ".PP"
            yield _inline(text)
        case Verbatim(lines):
            if not first:
                yield ".PP"
            yield from [".nf", *map(_plain, lines), ".fi"]
        case Definitions(pairs, link):
            for term, text in pairs:
                yield from [".TP", _term(term, link), _inline(text)]


def _term(term: str, link: bool) -> str:
    return _reference(f"prontosync-{term}(1)") if link else rf"\fB{_escape(term)}\fR"


def _reference(page: str) -> str:
    name, _, volume = page.partition("(")
    return rf"\fB{_escape(name)}\fR({volume}"


def _inline(text: str) -> str:
    filled = textwrap.wrap(_LITERAL.sub(r"\\fB\1\\fR", _escape(text)), 78, break_on_hyphens=False)
    return "\n".join(_guard(line) for line in filled)


def _plain(text: str) -> str:
    return _guard(_escape(text))


def _escape(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti").replace("^", "\\(ha")


def _guard(line: str) -> str:
    """A dot or a quote at the start of a line would be a request."""
    return f"\\&{line}" if line.startswith((".", "'")) else line
