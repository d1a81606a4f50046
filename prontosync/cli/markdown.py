"""A document as a Markdown page of docs/reference."""

from __future__ import annotations

from collections.abc import Iterator

from prontosync.cli.document import Block, Definitions, Document, Heading, Paragraph, Verbatim

NOTICE = "<!-- rendered by ./dev docs from the program; edit there -->"


def markdown(document: Document, *, notice: bool = True) -> str:
    """The page's source, with a line break at its end."""
    parts = [f"# {document.title}", f"{document.summary[:1].upper()}{document.summary[1:]}."]
    if notice:
        parts.insert(0, NOTICE)
    for block in document.blocks:
        parts += _block(block)
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> Iterator[str]:
    match block:
        case Heading(text, level):
            yield f"{'#' * (level + 1)} {text}"
        case Paragraph(text):
            yield _text(text)
        case Verbatim(lines):
            yield "\n".join(["```sh", *lines, "```"])
        case Definitions(pairs, link):
            rows = [f"| {_term(term, link)} | {_cell(text)} |" for term, text in pairs]
            yield "\n".join(["| | |", "|---|---|", *rows])


def _term(term: str, link: bool) -> str:
    return f"[`{term}`]({term}.md)" if link else f"`{term}`".replace("|", "\\|")


def _cell(text: str) -> str:
    return _text(text).replace("|", "\\|").replace("\n", " ")


def _text(text: str) -> str:
    return text.replace("<", "&lt;")
