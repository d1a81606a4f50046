"""Open conflicts as a CSV file to decide in, and the file read back: a row a candidate."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from prontosync.errors import UsageError
from prontosync.history.conflicts import Choice, Conflict
from prontosync.model.keys import key_to_json
from prontosync.model.values import Row, Value, restored, row_to_json, to_text
from prontosync.workflow.conflicts import OpenConflict
from prontosync.workflow.decide import Answer, clear, give, remove
from prontosync.workflow.resolve import BadDecision, Decision, NoConflict, decision

COLUMNS = (
    "id", "table", "key", "kind", "column", "candidate", "from", "commit", "shown", "live", "since", "decision"
)  # fmt: skip
ABSENT = "absent"
TAKE = ("x", "take")
_NEEDED = ("id", "candidate", "from", "commit", "decision")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_WAYS = 'write "x" beside a candidate, "=VALUE", "null" or "delete"'
_LARGEST_FIELD = 1 << 30


class BadFile(UsageError):
    """The file is not what ``conflicts --format csv`` wrote; the message names the line."""

    id = "bad-file"


def to_csv(conflicts: Iterable[OpenConflict]) -> str:
    """The file, with nothing decided."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in conflicts:
        writer.writerows(_lines(one))
    return text.getvalue()


def read_marks(text: str) -> list[Mark]:
    """The rows of a file that decide something. Raises BadFile, also where two rows decide one conflict."""
    marks: dict[str, Mark] = {}
    for line, row in _rows(text):
        if not row["decision"].strip():
            continue
        mark = Mark(line, row["id"], row["candidate"], row["from"], row["commit"], row["decision"])
        if mark.id in marks:
            raise BadFile(f"lines {marks[mark.id].line} and {line} both decide conflict {mark.id}", "keep one of them")
        mark.check()
        marks[mark.id] = mark
    return list(marks.values())


@dataclass(frozen=True)
class Mark:
    """A decision in a file: the conflict's id, what its row says of the candidate, and the words in the last column."""

    line: int
    id: str
    candidate: str
    branches: str
    commits: str
    words: str

    def check(self) -> None:
        """Raises BadFile where the words are none that decide."""
        plain = self.words.strip().lower()
        if plain not in (*TAKE, "delete", "null") and not self.words.lstrip().startswith("="):
            raise BadFile(f'line {self.line}: "{self.words.strip()}" is no decision', _WAYS)

    def answer(self) -> Answer:
        plain = self.words.strip().lower()
        if plain in TAKE:
            return self._taken
        if plain == "delete":
            return remove
        return clear if plain == "null" else give(self.words.lstrip()[1:])

    def _taken(self, conflict: Conflict) -> Value | Row | None:
        """The marked candidate. A spreadsheet may have changed its text (007 into 7), so its origin counts too."""
        by_text = [c for c in conflict.choices if _candidate(conflict, c.value) == self.candidate]
        by_origin = [c for c in conflict.choices if (_branches(c), _commits(c)) == (self.branches, self.commits)]
        both = [choice for choice in by_text if choice in by_origin]
        found = next((few for few in (both, by_text, by_origin) if len(few) == 1), None)
        if found is None:
            raise BadDecision("that candidate is not there any more", "write the file again: conflicts --format csv")
        return found[0].value


class FileDecider:
    """Decides what a file's marks say. ``gone`` are the lines whose conflict is not open any more."""

    def __init__(self, marks: Sequence[Mark]) -> None:
        self._marks = marks
        self.gone: list[int] = []

    def __call__(self, conflicts: Sequence[Conflict]) -> list[Decision]:
        open_ones = {conflict.id: conflict for conflict in conflicts}
        self.gone = [mark.line for mark in self._marks if mark.id not in open_ones]
        there = [mark for mark in self._marks if mark.id in open_ones]
        return [_decided(mark, open_ones[mark.id]) for mark in there]


def _decided(mark: Mark, conflict: Conflict) -> Decision:
    try:
        return decision(conflict, mark.answer()(conflict))
    except (BadDecision, NoConflict) as error:
        raise type(error)(f"line {mark.line}: {error.message}", error.hint) from error


def _rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    csv.field_size_limit(_LARGEST_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    line = 0
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in _NEEDED if header.count(name) != 1]
        if missing:
            raise BadFile(f'line 1: column "{missing[0]}" is missing', "use what conflicts --format csv wrote")
        line = reader.line_num
        for values in reader:
            if values and len(values) != len(header):
                raise BadFile(f"line {line + 1} has {len(values)} columns, the first has {len(header)}")
            if values:
                yield line + 1, dict(zip(header, values, strict=True))
            line = reader.line_num
    except csv.Error as error:
        raise BadFile(f"line {line + 1} is not CSV: {error}") from None


def _delimiter(text: str) -> str:
    """What separates columns: spreadsheets write what their country is used to."""
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)


def _lines(one: OpenConflict) -> Iterator[list[str]]:
    conflict = one.conflict
    key = json.dumps(key_to_json(tuple(map(restored, conflict.key)), conflict.schema), ensure_ascii=False)
    start = [conflict.id, _safe(conflict.table), _safe(key), conflict.kind, _safe(conflict.column or "")]
    live = _candidate(conflict, one.live) if one.known else ""
    end = [_candidate(conflict, conflict.shown), live, conflict.since, ""]
    for choice in conflict.choices:
        yield [*start, _candidate(conflict, choice.value), _branches(choice), _commits(choice), *end]


def _candidate(conflict: Conflict, value: Value | Row | None) -> str:
    schema = conflict.schema
    if conflict.column is not None:
        logical = schema.type_of(conflict.column)
        text = to_text(restored(value), logical)
        return text if isinstance(value, int | float) or logical.startswith("decimal") else _safe(text)
    if value is None:
        return ABSENT
    row = dict(zip(schema.names, map(restored, value), strict=True))
    types = {name: schema.type_of(name) for name in schema.names}
    return json.dumps(row_to_json(row, types), ensure_ascii=False)


def _safe(text: str) -> str:
    """Text that a spreadsheet would take for a formula gets an apostrophe in front."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _branches(choice: Choice) -> str:
    return " ".join(origin.branch for origin in choice.origins)


def _commits(choice: Choice) -> str:
    return " ".join(origin.commit for origin in choice.origins)
