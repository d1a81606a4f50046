"""The only place that writes to standard output and standard error: data to the first, talk to the second.

Everything is UTF-8, whatever the locale says. A stream that is closed swallows what it is given. A drawing that is kept
below all of it gives way.
"""

from __future__ import annotations

import base64
import errno
import json
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import date, datetime, time
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol, TextIO

from prontosync.cli.context import Context
from prontosync.cli.escape import escape, escape_json, escape_lines
from prontosync.errors import NoSpace, Refused

Style = Literal["bold", "dim", "red", "green", "yellow", "blue", "cyan"]

_CODES: dict[Style, int] = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "blue": 34, "cyan": 36}
_OWN_STYLE = re.compile("(\x1b\\[(?:1|2|31|32|33|34|36|0)m)")
_BATCH = 1000
_PIECE = 1 << 16


class Drawing(Protocol):
    """Something that is drawn on the terminal again and again, until it is ended."""

    def aside(self) -> AbstractContextManager[None]:
        """Nothing is drawn while inside, and what was is gone."""
        ...

    def end(self) -> None:
        """Nothing is drawn any more, and what was is gone."""
        ...

    def close(self) -> None:
        """The same; afterwards nothing of the drawing is at work any more."""
        ...


_drawings: list[Drawing] = []


@contextmanager
def below_all(drawing: Drawing) -> Iterator[None]:
    """While inside, the drawing steps aside for each line of talk. It is ended by the first data, which may have been
    written for a pager that draws on the same terminal, and at the end."""
    _drawings.append(drawing)
    try:
        yield
    finally:
        _drawings.remove(drawing)
        drawing.close()


class ReaderGone(Exception):  # no error: whoever read our output has seen enough
    """Standard output's other end was closed."""


class OutputFull(NoSpace):
    id = "output-full"


class OutputRefused(Refused):
    id = "output-refused"


def emit_text(text: str, *, to: str | None = None) -> None:
    """Write text for a reader, with a line break at its end; what is foreign in it has passed ``escape`` already.

    As a second net, any control or bidi character except line breaks and the styles of ``paint`` is shown, not sent.
    ``to`` is the value of ``-o``: the file is replaced in one step; ``None`` and ``-`` are standard output.
    """
    _deliver([_utf8(_shown(text.rstrip("\n")) + "\n")], to)


def emit_pieces(pieces: Iterable[str], *, to: str | None = None) -> None:
    """As ``emit_text``, for long text in pieces; line breaks are the caller's, and JSON has passed ``encode_json``."""
    _deliver((_utf8(_shown(piece)) for piece in _gathered(pieces)), to)


def make_folder(path: Path) -> None:
    """The folder of a ``-o DIR/``. Raises OutputRefused."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _translated(error, f'"{path}"') from error


def emit_json(value: object, *, to: str | None = None) -> None:
    """Write one JSON document by the rules of the command line's contract."""
    _deliver([_utf8(encode_json(value, indent=2) + "\n")], to)


def emit_json_lines(values: Iterable[object], *, to: str | None = None) -> None:
    """Write one compact JSON document a line, as they come."""
    iterator = iter(values)
    batches = iter(lambda: list(islice(iterator, _BATCH)), [])
    _deliver((_utf8("".join(encode_json(value) + "\n" for value in batch)) for batch in batches), to)


def emit_data(chunks: Iterable[bytes], *, to: str | None = None) -> None:
    """Write bytes as they are (CSV, Parquet, an object), for a program; on a terminal they are escaped as text is."""
    _deliver((_harmless(chunk) for chunk in chunks) if terminal_columns(to) else chunks, to)


def terminal_columns(to: str | None = None) -> int | None:
    """How many columns the terminal has that data goes to; None where it goes anywhere else."""
    stream = sys.stdout
    if to not in {None, "-"} or stream is None or stream.closed or not stream.isatty():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


def note(context: Context, text: str) -> None:
    """A line of talk on standard error; silent with ``--quiet``. The text is escaped here."""
    if not context.quiet:
        _talk(text)


def hint(context: Context, text: str) -> None:
    """What to type next, on standard error; silent with ``--quiet``. The text is escaped here."""
    if not context.quiet:
        _talk(f"hint: {text}")


def complain(lines: Iterable[str]) -> None:
    """Lines of an error on standard error, never silent. Each is escaped and stays one line."""
    for line in lines:
        _talk(line)


def paint(context: Context, text: str, style: Style) -> str:
    """The text in a colour, where the terminal and the user want colours. The text is escaped here."""
    safe = escape(text)
    return f"\x1b[{_CODES[style]}m{safe}\x1b[0m" if context.colour else safe


def encode_json(value: object, *, indent: int | None = None) -> str:
    """Decimals as strings, bytes as base64, dates and times as ISO 8601; floats that JSON lacks as strings.

    Raises ``TypeError`` for a value that the contract does not name.
    """
    separators = None if indent else (",", ":")
    try:
        text = json.dumps(
            value, default=_plain, indent=indent, separators=separators, ensure_ascii=False, allow_nan=False
        )
    except ValueError:  # a NaN or an infinity somewhere
        text = json.dumps(_finite(value), default=_plain, indent=indent, separators=separators, ensure_ascii=False)
    return escape_json(text)


def finish() -> None:
    """Flush standard output. Raises what ``emit_text`` raises; call it before the exit code is settled."""
    _write(b"")


def speak_utf8() -> None:
    """Make both streams UTF-8 whatever the locale; text that was undecodable is shown as an escape."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace")


def _plain(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        text = value.isoformat()
        return text[:-6] + "Z" if text.endswith("+00:00") else text
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    if type(value).__name__ in {"Decimal", "UUID"} or isinstance(value, os.PathLike):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {name: _finite(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(member) for member in value]
    return value


def _gathered(pieces: Iterable[str]) -> Iterator[str]:
    """Many small pieces as fewer large ones."""
    held: list[str] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _PIECE:
            yield "".join(held)
            held, size = [], 0
    if held:
        yield "".join(held)


def _shown(text: str) -> str:
    return "".join(part if _OWN_STYLE.fullmatch(part) else escape_lines(part) for part in _OWN_STYLE.split(text))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _harmless(chunk: bytes) -> bytes:
    return _utf8(escape_lines(chunk.decode("utf-8", "surrogateescape")))


def _deliver(chunks: Iterable[bytes], to: str | None) -> None:
    if to is None or to == "-":
        for chunk in chunks:
            _write(chunk)
    else:
        _write_file(Path(to), chunks)


def _write_file(path: Path, chunks: Iterable[bytes]) -> None:
    if path.exists() and not path.is_file():
        _write_special(path, chunks)
        return
    from prontosync.disk import files

    files.replace_by_pieces(path.resolve(), chunks)


def _write_special(path: Path, chunks: Iterable[bytes]) -> None:
    """To a pipe or a device, which a rename would replace by a file."""
    _end_drawings()
    try:
        with path.open("wb") as stream:
            stream.writelines(chunks)
    except OSError as error:
        raise _translated(error, f'"{path}"') from error


def _write(data: bytes) -> None:
    _end_drawings()
    stream = sys.stdout
    if stream is None or stream.closed:
        return
    try:
        stream.flush()
        stream.buffer.write(data)
        stream.buffer.flush()
    except OSError as error:
        _abandon(stream)
        raise _translated(error, "the output") from error


def _translated(error: OSError, target: str) -> Exception:
    if error.errno == errno.EPIPE:
        return ReaderGone()
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return OutputFull(f"no space to write {target}", "make room, then run it again")
    return OutputRefused(f"cannot write {target}: {(error.strerror or str(error)).lower()}")


def _abandon(stream: TextIO) -> None:
    """What is left in the stream's buffer goes nowhere, so that the exit does not fail over it once more."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _talk(text: str) -> None:
    stream = sys.stderr
    if stream is None or stream.closed:
        return
    try:
        with ExitStack() as stack:
            for drawing in _drawings:
                stack.enter_context(drawing.aside())
            stream.write(escape(text) + "\n")
            stream.flush()
    except OSError:  # nobody listens; the exit code still says what happened
        _abandon(stream)


def _end_drawings() -> None:
    for drawing in _drawings:
        drawing.end()
