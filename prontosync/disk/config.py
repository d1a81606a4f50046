"""What ``prontosync.toml`` may say: the table of its keys, and what it says once read.

``KEYS`` is the one owner of names, types, defaults and meanings: reading, editing, help, man page and reference all
follow it. Paths and URLs are kept as they were written; ``located`` resolves one when it is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from prontosync.errors import RepositoryError
from prontosync.model.rules import Invariant, RuleSet, TableRules, rule_set

KeyPath: TypeAlias = tuple[str, ...]

NO_RULES = TableRules()

RESERVED_REMOTES = ("main", "stores", "tags")
"""A remote's name starts the names of its branches, so these would be taken for our own branches and tags."""


class ConfigError(RepositoryError):
    """The configuration is wrong. ``path`` is the key, ``what`` the fault alone, ``line`` counts from 1, or is None."""

    id = "bad-config"

    def __init__(
        self,
        what: str,
        hint: str | None = None,
        path: KeyPath = (),
        origin: Path | None = None,
        line: int | None = None,
    ) -> None:
        place = "" if origin is None else f'"{origin}"' + (f" line {line}: " if line else ": ")
        super().__init__(place + what, hint)
        self.what, self.path, self.line = what, path, line


@dataclass(frozen=True)
class ConfigKey:
    """One key. ``*`` in ``path`` stands for any name; ``example`` is TOML.

    ``type`` is one of ``config_values.KINDS``. ``default`` is TOML too, or words where other things decide it, or None
    where the key may be absent or is ``required``.
    """

    path: str
    type: str
    default: str | None
    meaning: str
    example: str
    required: bool = False

    @property
    def parts(self) -> KeyPath:
        return tuple(self.path.split("."))


SECTIONS: dict[str, str] = {
    "store": "this store; absent in a repository without a live database (head office, a bare hub)",
    "source": "the live database",
    "remote.*": "a hub, or another place that snapshots are exchanged with, by name",
    "merge": "what pull and sync merge",
    "table.*": "one table of the live database, by name; a name with unusual characters is quoted as TOML quotes it",
    "default": "rules for every table that says nothing itself",
    "invariant.*": "what a merge must leave true, by name: SQL that returns no row",
}
"""Every section and its meaning, in the order of ``KEYS``."""

KEYS: tuple[ConfigKey, ...] = (
    ConfigKey("store.name", "store", None, "the store's name: a-z, 0-9, ., _ and -", '"012"', required=True),
    ConfigKey("store.branch", "branch", "stores/<name>", "the branch that holds this live database", '"stores/012"'),
    ConfigKey(
        "store.upstream",
        "remote branch",
        None,
        "what pull and sync merge in besides the branch itself: a remote and one of its branches",
        '"office/main"',
    ),
    ConfigKey(
        "store.timezone",
        "time zone",
        "the machine's",
        "the zone in which @{date} is read, by its IANA name",
        '"America/Mexico_City"',
    ),
    ConfigKey("store.keep_free", "size", None, "stop (16) rather than leave less than this of the disk free", '"2GB"'),
    ConfigKey(
        "source.url",
        "url",
        None,
        "the live database: a path is SQLite, as is sqlite:///path; never with a password",
        '"sqlite:///var/lib/pos/pos.db"',
        required=True,
    ),
    ConfigKey("source.tables", "patterns", '["*"]', "which tables are read, by name or pattern (* and ?)", '["*"]'),
    ConfigKey("source.exclude", "patterns", "[]", "which of them are left out all the same", '["tmp_*"]'),
    ConfigKey("source.apply", "switch", "true", "false: this repository only ever reads the live database", "false"),
    ConfigKey(
        "source.max_deletes",
        "percentage",
        '"2%"',
        "refuse (13) a snapshot or an apply that deletes more of a table; 100 rows are always allowed",
        '"2%"',
    ),
    ConfigKey(
        "source.full_read",
        "days",
        '"7d"',
        "with change capture (track), read every row again when the last time is so many days ago; 0d: each time",
        '"7d"',
    ),
    ConfigKey(
        "remote.*.url",
        "url",
        None,
        "a folder, or sftp://user@host/path; never with a password",
        '"sftp://store012@hub.example.com/hub/012"',
        required=True,
    ),
    ConfigKey("remote.*.identity", "path", None, "the private key to log in with", '"/etc/prontosync/id_ed25519"'),
    ConfigKey("remote.*.known_hosts", "path", None, "the file of host keys to trust", '"/etc/prontosync/known_hosts"'),
    ConfigKey(
        "remote.*.fingerprint",
        "fingerprint",
        None,
        "the host key to trust, in place of known_hosts, as ssh-keygen -l prints it",
        '"SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"',
    ),
    ConfigKey(
        "remote.*.push",
        "switch",
        "true",
        "false: sync never pushes here, push only where it is named",
        "false",
    ),
    ConfigKey(
        "merge.branches",
        "patterns",
        "[]",
        "the branches that pull and sync merge in besides our own and the upstream, by their names as revisions",
        '["hub/stores/*"]',
    ),
    ConfigKey(
        "table.*.key",
        "columns",
        None,
        "the columns that tell rows apart, only where the source has no primary key",
        '["store_id", "product_id"]',
    ),
    ConfigKey("table.*.actor", "column", None, "the column that names who did it", '"updated_by"'),
    ConfigKey("table.*.skip", "columns", "[]", "columns that are never read and never written", '["pin_hash"]'),
    ConfigKey(
        "table.*.flow",
        "flow",
        'what [default] says, else "shared"',
        "which way the table travels: own (stays with its store), down (comes from head office) or shared (merged)",
        '"own"',
    ),
    ConfigKey(
        "table.*.columns.*",
        "policy",
        None,
        "what decides a cell of this column that both sides changed: sum adds both changes, for stock and counters; "
        "max and min take the larger or the smaller; prefer BRANCH lets that branch alone write it; none exempts the "
        "column from what is said of the whole table",
        '"sum"',
    ),
    ConfigKey(
        "table.*.newest",
        "column",
        None,
        "the column that tells which of two edits of a row is the later, which wins with all columns that have no "
        "policy of their own",
        '"updated_at"',
    ),
    ConfigKey("table.*.prefer", "branch", None, "the only branch that may write the table", '"main"'),
    ConfigKey(
        "table.*.owner", "column", None, "the column that names the only store that may write the row", '"store_id"'
    ),
    ConfigKey("table.*.append_only", "switch", "false", "true: rows are never updated and never deleted", "true"),
    ConfigKey(
        "table.*.delete",
        "deletion",
        None,
        "what becomes of a row that one side deleted and the other updated: wins (deleted) or loses (kept)",
        '"loses"',
    ),
    ConfigKey(
        "table.*.renumber",
        "side",
        None,
        "whose row gets a new key where both sides inserted one under the same key: main (head office's) or store",
        '"store"',
    ),
    ConfigKey("table.*.renamed.*", "column", None, "the new name of a column that was renamed", '"phone"'),
    ConfigKey(
        "table.*.dropped", "columns", "[]", "columns that are to go everywhere; only head office may say so", '["fax"]'
    ),
    ConfigKey(
        "table.*.gone", "switch", "false", "true: the table is to go everywhere; only head office may say so", "true"
    ),
    ConfigKey("default.flow", "flow", '"shared"', "which way tables travel", '"shared"'),
    ConfigKey("default.prefer", "branch", None, "the only branch that may write", '"main"'),
    ConfigKey(
        "default.delete",
        "deletion",
        None,
        "what becomes of a row that one side deleted and the other updated",
        '"loses"',
    ),
    ConfigKey(
        "default.newest",
        "column",
        None,
        "the column that tells which of two edits of a row is the later, in tables that have a fitting one",
        '"updated_at"',
    ),
    ConfigKey(
        "invariant.*.table",
        "table",
        None,
        "the table whose rows the SQL returns, with its key",
        '"stock"',
        required=True,
    ),
    ConfigKey(
        "invariant.*.sql",
        "sql",
        None,
        "a SELECT over the schemas base, ours, theirs and merged; each row that it returns becomes a conflict",
        '"SELECT id FROM merged.stock WHERE on_hand < 0"',
        required=True,
    ),
    ConfigKey(
        "invariant.*.refuse",
        "switch",
        "false",
        "true: a merge that breaks it is not made; only head office may say so",
        "true",
    ),
)
"""Every key: its name, type, default and meaning."""


@dataclass(frozen=True)
class StoreConfig:
    """``keep_free`` is in bytes; without a ``timezone`` the machine's counts."""

    name: str
    branch: str
    upstream: str | None = None
    timezone: str | None = None
    keep_free: int | None = None


@dataclass(frozen=True)
class SourceConfig:
    """``tables`` and ``exclude`` are globs; ``max_deletes`` is a share of a table's rows, from 0 to 1; ``full_read`` is
    in days."""

    url: str
    tables: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    apply: bool = True
    max_deletes: float = 0.02
    full_read: int = 7


@dataclass(frozen=True)
class RemoteConfig:
    """``identity`` and ``known_hosts`` are paths; ``push`` false: it is only read unless named."""

    name: str
    url: str
    identity: str | None = None
    known_hosts: str | None = None
    fingerprint: str | None = None
    push: bool = True


@dataclass(frozen=True)
class MergeConfig:
    """``branches`` are globs over branches' names as revisions."""

    branches: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableConfig:
    """How a table is read, and the ``rules`` by which it is merged."""

    key: tuple[str, ...] = ()
    actor: str | None = None
    skip: tuple[str, ...] = ()
    rules: TableRules = NO_RULES


@dataclass(frozen=True)
class Config:
    """All of ``prontosync.toml``; ``remotes``, ``tables`` and ``invariants`` are by name. ``origin`` is the file it was
    read from and ``text`` what was in it, for messages."""

    store: StoreConfig | None = None
    source: SourceConfig | None = None
    remotes: dict[str, RemoteConfig] = field(default_factory=dict)
    tables: dict[str, TableConfig] = field(default_factory=dict)
    merge: MergeConfig = field(default_factory=MergeConfig)
    default: TableRules = NO_RULES
    invariants: dict[str, Invariant] = field(default_factory=dict)
    origin: Path | None = field(default=None, compare=False)
    text: str = field(default="", compare=False, repr=False)

    def table(self, name: str) -> TableConfig:
        """What is said about a table; the defaults where nothing is."""
        return self.tables.get(name) or TableConfig()

    @property
    def rules(self) -> RuleSet:
        """The rules of merging that the file gives."""
        return rule_set(self.default, {name: said.rules for name, said in self.tables.items()}, self.invariants)

    @property
    def is_head_office(self) -> bool:
        """Whether this place takes its rules from nobody."""
        return self.store is None or self.store.upstream is None


def located(text: str, folder: Path) -> str:
    """A path or URL of the configuration for use: a relative path counts from ``folder``, the repository's."""
    return text if "://" in text else str(folder / text)


def suggestion(name: str, known: Iterable[str]) -> str:
    """The hint for a name that is not known."""
    from difflib import get_close_matches

    names = list(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    return f'did you mean "{near[0]}"?' if near else "known here: " + ", ".join(names)
