"""Revisions as people write them: names, ids, ``~n``, ``^n``, ``@{n}``, ``@{2026-12-31}`` (``docs/reference``)."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prontosync.disk.refs import FolderRefs, RefMissing
from prontosync.errors import NotFound, UsageError
from prontosync.history.ancestry import Ancestry
from prontosync.model.ids import ObjectId, ObjectName, is_object_id
from prontosync.model.names import TAG_PREFIX, BadName, RefName, ref_name

HEAD = "HEAD"
LIVE = "LIVE"
_MIN_HEX = 8
_HEX = re.compile(rf"[0-9a-f]{{{_MIN_HEX},64}}")
_SUFFIX = re.compile(r"~(\d*)|\^(\d*)|@\{([^{}]*)\}")
_MOMENT = re.compile(r"@\{([^{}]*)\}")
_LOG = re.compile(r"\d{1,12}")
_AGO = re.compile(r"(\d+) (minute|hour|day|week)s? ago")


class UnknownRevision(NotFound):
    id = "unknown-revision"


class BadRevision(UsageError):
    id = "bad-revision"


class AmbiguousRevision(UsageError):
    id = "ambiguous-revision"


@dataclass(frozen=True)
class Moment:
    """What dates without a zone mean: ``now`` (with a zone) and ``zone`` (None: the machine's)."""

    now: Callable[[], datetime.datetime]
    zone: datetime.tzinfo | None


class Revisions:
    """Finds the commit that a revision names."""

    def __init__(self, refs: FolderRefs, ancestry: Ancestry, branch: RefName, moment: Moment) -> None:
        self.refs, self.ancestry, self.branch, self.moment = refs, ancestry, branch, moment

    def resolve(self, text: str) -> ObjectId:
        """Raises UnknownRevision (17), BadRevision or AmbiguousRevision (2)."""
        match = re.search(r"[~^]|@\{", text)
        name, rest = (text[: match.start()], text[match.start() :]) if match else (text, "")
        name = name or HEAD
        commit = self._at_log(name, rest) or self._named(name)
        if commit is not None and self._log_index(rest) is not None:
            rest = rest[rest.index("}") + 1 :]
        if commit is None:
            raise UnknownRevision(f'"{text}" is not a revision here', "see: prontosync branch --all, prontosync log")
        return self._walk(text, commit, rest)

    def ref_of(self, text: str) -> RefName | None:
        """The branch or remote branch that a revision names as such, or None for a commit found otherwise."""
        name = self.branch if text == HEAD else text
        return next((ref for ref in self._refs(name) if self._target(ref) and not ref.startswith(TAG_PREFIX)), None)

    def _walk(self, text: str, commit: ObjectId, rest: str) -> ObjectId:
        while rest:
            step = _SUFFIX.match(rest)
            if step is None:
                raise BadRevision(
                    f'"{text}" is not a revision: "{rest}" is not understood', "write ~2, ^2, or @{2026-12-31}"
                )
            rest = rest[step.end() :]
            up, parent, at = step.groups()
            if at is not None:
                commit = self._before(text, commit, at)
            elif up is not None:
                commit = self._up(text, commit, int(up or 1))
            else:
                commit = self._parent(text, commit, int(parent or 1))
        return commit

    def _named(self, name: str) -> ObjectId | None:
        wanted = self.branch if name == HEAD else name
        for ref in self._refs(wanted):
            target = self._target(ref)
            if target is not None:
                return target
        return self._by_id(name)

    def _refs(self, name: str) -> Iterator[RefName]:
        for text in (name, TAG_PREFIX + name):
            try:
                yield ref_name(text)
            except BadName:
                continue

    def _target(self, ref: RefName) -> ObjectId | None:
        return self.refs.target(ref)

    def _by_id(self, text: str) -> ObjectId | None:
        if not _HEX.fullmatch(text):
            return None
        if is_object_id(text):
            identity = ObjectId(text)
            return identity if self.ancestry.commits.has(identity) and self._is_commit(identity) else None
        found = [i for i in self._ids_like(text) if self._is_commit(i)]
        if len(found) > 1:
            raise AmbiguousRevision(f'"{text}" could be {" or ".join(sorted(found))}', "write more digits")
        return found[0] if found else None

    def _ids_like(self, prefix: str) -> Iterator[ObjectId]:
        names = self.ancestry.commits.store.names()
        return (name.id for name in names if name.suffix == "json" and name.id.startswith(prefix))

    def _is_commit(self, identity: ObjectId) -> bool:
        data = self.ancestry.commits.store.read(ObjectName(identity, "json"))
        return b'"kind":"commit"' in data

    def _log_index(self, rest: str) -> int | None:
        match = re.match(rf"@\{{({_LOG.pattern})\}}", rest)
        return int(match[1]) if match else None

    def _at_log(self, name: str, rest: str) -> ObjectId | None:
        """``REV@{n}``: where a ref was n moves ago."""
        index = self._log_index(rest)
        if index is None:
            return None
        wanted = self.branch if name == HEAD else name
        for ref in self._refs(wanted):
            state = self.refs.read(ref)
            if state is None:
                continue
            try:
                target = self.refs.at(ref, state.generation - index).target if index < state.generation else None
            except RefMissing:
                target = None
            if target is None:
                raise UnknownRevision(f'ref "{ref}" has no entry {index} in its log')
            return target
        raise UnknownRevision(f'"{name}" is not a branch, so it has no log')

    def _up(self, text: str, commit: ObjectId, steps: int) -> ObjectId:
        for number, current in enumerate(self.ancestry.first_parents(commit)):
            if number == steps:
                return current
        raise UnknownRevision(f'"{text}" goes beyond the first commit')

    def _parent(self, text: str, commit: ObjectId, number: int) -> ObjectId:
        if number == 0:
            return commit
        parents = self.ancestry.commits.read(commit).parents
        if number > len(parents):
            raise UnknownRevision(f'"{text}": commit {commit[:12]} has {len(parents)} parents')
        parent = parents[number - 1]
        if not self.ancestry.commits.has(parent.commit):
            raise UnknownRevision(
                f'"{text}": the parent on "{parent.branch}" is not in this repository', "fetch that branch first"
            )
        return parent.commit

    def last_before(self, commit: ObjectId, when: str) -> ObjectId | None:
        """The last commit on the first-parent line whose time is not after a moment; None where all are. Raises
        BadRevision."""
        limit = parse_moment(when, self.moment)
        line = self._branch_line(commit)
        return next((one for one in line if commit_time(self.ancestry.commits.read(one).time) <= limit), None)

    def _before(self, text: str, commit: ObjectId, when: str) -> ObjectId:
        found = self.last_before(commit, when)
        if found is not None:
            return found
        *_, oldest = self._branch_line(commit)
        begin = self.ancestry.commits.read(oldest).time
        raise UnknownRevision(
            f'"{text}": there is no commit that old; the oldest here is of {begin} (UTC)', "see: prontosync log"
        )

    def _branch_line(self, commit: ObjectId) -> Iterator[ObjectId]:
        """The first parents, newest first; then the lines of the same branch that were merged into them: a database
        that was read anew begins with a root of its own, and its history before is such a line."""
        lines, seen = [commit], set[ObjectId]()
        while lines:
            for current in self.ancestry.first_parents(lines.pop(0)):
                if current in seen:
                    break
                seen.add(current)
                yield current
                parents, here = self.ancestry.commits.read(current).parents, self.ancestry.parents(current)
                lines += [p.commit for p in parents[1:] if p.branch == parents[0].branch and p.commit in here]


def moment_in(text: str) -> str | None:
    """What stands in ``@{…}`` where a revision is no more than that and it is a moment, else None."""
    match = _MOMENT.fullmatch(text)
    return match[1] if match and not _LOG.fullmatch(match[1]) else None


def parse_moment(text: str, moment: Moment) -> datetime.datetime:
    """A date (meaning its end), a date and time, ``now``, ``today``, ``yesterday``, ``3 days ago``. Raises
    BadRevision."""
    try:
        return _moment(text, moment)
    except (ValueError, OverflowError):
        raise BadRevision(f'"{text}" is not a date', "write 2026-12-31, 2026-12-31T14:00 or yesterday") from None


def _moment(text: str, moment: Moment) -> datetime.datetime:
    now = moment.now().astimezone(moment.zone)
    days = {"today": 0, "yesterday": 1}
    if text == "now":
        return now
    if text in days:
        return _end_of_day(now.date() - datetime.timedelta(days=days[text]), moment)
    if ago := _AGO.fullmatch(text.replace(".", " ")):
        return now - datetime.timedelta(**{ago[2] + "s": int(ago[1])})
    if len(text) <= len("2026-12-31"):
        return _end_of_day(datetime.date.fromisoformat(text), moment)
    value = datetime.datetime.fromisoformat(text)
    return value if value.tzinfo else _in_zone(value, moment)


def commit_time(text: str) -> datetime.datetime:
    """A commit's claimed time; an unreadable one counts as the beginning of time."""
    try:
        value = datetime.datetime.fromisoformat(text)
    except ValueError:
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)
    return value if value.tzinfo else value.replace(tzinfo=datetime.UTC)


def _end_of_day(day: datetime.date, moment: Moment) -> datetime.datetime:
    return _in_zone(datetime.datetime.combine(day, datetime.time.max), moment)


def _in_zone(value: datetime.datetime, moment: Moment) -> datetime.datetime:
    return value.replace(tzinfo=moment.zone) if moment.zone else value.astimezone()
