"""The manual's pages as plain blocks, before anyone decides whether they become a man page or Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from prontosync.cli.commands import COMMANDS, SECTIONS
from prontosync.cli.context import ENVIRONMENT
from prontosync.cli.page import Page
from prontosync.disk import config
from prontosync.errors import EXIT_CODES


@dataclass(frozen=True, slots=True)
class Heading:
    text: str
    level: int = 1


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A backtick on both sides makes a word literal."""

    text: str


@dataclass(frozen=True, slots=True)
class Verbatim:
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Definitions:
    """``link`` says that each term is the name of a command with a page of its own."""

    pairs: tuple[tuple[str, str], ...]
    link: bool = False


Block: TypeAlias = Heading | Paragraph | Verbatim | Definitions


@dataclass(frozen=True, slots=True)
class Document:
    """``stem`` is the file's name without ending, ``volume`` the manual's section."""

    stem: str
    title: str
    summary: str
    volume: int
    blocks: tuple[Block, ...]
    related: tuple[str, ...] = ()


def command_document(page: Page) -> Document:
    """The page of one top-level command, with those inside it where it is a group."""
    related = ("prontosync(1)", "prontosync-config(5)")
    return Document(page.stem, page.name, page.summary, 1, tuple(_command(page, 1)), related)


def root_document(page: Page) -> Document:
    """The page of the program: its options, all commands by section, exit codes and environment."""
    blocks = [*_synopsis(page, 1), *_prose(page), *_pairs("Options", page.options, 1)]
    blocks.append(Heading("Commands"))
    for section in SECTIONS:
        rows = tuple((name, entry.summary) for name, entry in COMMANDS.items() if entry.section == section)
        if rows:
            blocks += [Heading(section.capitalize(), 2), Definitions(rows, link=True)]
    blocks += _exit_status(EXIT_CODES, 1)
    blocks += _pairs("Environment", ENVIRONMENT.items(), 1)
    summary = "git for the databases of a chain of stores"
    return Document(page.stem, page.name, summary, 1, tuple(blocks), ("prontosync-config(5)",))


def exit_code_document() -> Document:
    """The exit codes of all commands together."""
    intro = "Every command exits with one of these. Where several apply, a failure comes before a mere difference."
    pairs = Definitions(tuple((str(code), meaning) for code, meaning in EXIT_CODES.items()))
    return Document("exit-codes", "exit codes", "what each exit code means", 7, (Paragraph(intro), pairs))


def configuration_document() -> Document:
    """The page of the configuration file, section by section."""
    blocks: list[Block] = [
        Heading("Description"),
        Paragraph(
            "A repository's configuration is TOML, in `prontosync.toml`. "
            "An unknown key or section is an error, exit 10, that names the line and the nearest known key. "
            "`prontosync config set` changes the file and keeps its comments and order."
        ),
    ]
    for section, meaning in config.SECTIONS.items():
        pairs = tuple(_key(key, section) for key in config.KEYS if key.path.startswith(f"{section}."))
        said = f"{meaning[:1].upper()}{meaning[1:]}."
        blocks += [Heading(f"[{_named(section)}]"), Paragraph(said), Definitions(pairs)]
    summary = "the configuration file of a repository"
    return Document("prontosync-config", "prontosync.toml", summary, 5, tuple(blocks), ("prontosync(1)",))


def _key(key: config.ConfigKey, section: str) -> tuple[str, str]:
    name = _named(key.path.removeprefix(f"{section}."))
    needed = "required" if key.required else f"default: `{key.default}`" if key.default is not None else "optional"
    return f"{name} = {key.example}", f"{key.meaning} ({key.type}; {needed})"


def _named(path: str) -> str:
    return path.replace("*", "NAME")


def _command(page: Page, level: int) -> Iterable[Block]:
    yield from _synopsis(page, level)
    yield from _prose(page, level)
    yield from _pairs("Arguments", page.arguments, level)
    yield from _pairs("Options", page.options, level)
    for inner in page.commands:
        yield Heading(inner.name, level)
        yield Paragraph(f"{inner.summary}.")
        yield from _command(inner, level + 1)
    if page.examples:
        yield Heading("Examples", level)
        yield Verbatim(page.examples)
    yield from _exit_status(page.exits, level)


def _synopsis(page: Page, level: int) -> Iterable[Block]:
    yield Heading("Synopsis", level)
    yield Verbatim((f"{page.name} {page.synopsis}".rstrip(),))


def _prose(page: Page, level: int = 1) -> Iterable[Block]:
    yield Heading("Description", level)
    for part in page.description.split("\n\n"):
        lines = part.strip("\n").split("\n")
        if lines[0].strip() == "\b":
            yield Verbatim(tuple(lines[1:]))
        else:
            yield Paragraph(" ".join(line.strip() for line in lines))


def _pairs(title: str, pairs: Iterable[tuple[str, str]], level: int) -> Iterable[Block]:
    present = tuple(pairs)
    if present:
        yield Heading(title, level)
        yield Definitions(present)


def _exit_status(codes: dict[int, str], level: int) -> Iterable[Block]:
    yield from _pairs("Exit status", ((str(code), meaning) for code, meaning in codes.items()), level)
