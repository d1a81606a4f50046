"""What ``prontosync.toml`` may say: the table of its keys, and what it says once read.

``KEYS`` is the one owner of names, types, defaults and meanings: reading, editing, help, man page and reference all
follow it. Paths and URLs are kept as they were written; ``located`` resolves one when it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from prontosync.errors import RepositoryError
from prontosync.model.schema import TableSchema, decimal_parts

Flow: TypeAlias = Literal["own", "down", "shared"]
KeyPath: TypeAlias = tuple[str, ...]

FLOWS: tuple[Flow, ...] = ("own", "down", "shared")
POLICIES = ("sum",)
LATER_POLICIES = ("max", "min", "newest", "prefer", "owner", "append_only", "delete")
"""Policies that have their meaning and that this version cannot carry out: ignoring one would lose what it protects."""

LATER_KEYS = (*(f"table.*.{name}" for name in LATER_POLICIES), "invariant")
"""Keys and sections that are refused for the same reason."""

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
    "table.*": "one table of the live database, by name; a name with unusual characters is quoted as TOML quotes it",
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
        "table.*.key",
        "columns",
        None,
        "the columns that tell rows apart, only where the source has no primary key",
        '["store_id", "product_id"]',
    ),
    ConfigKey(
        "table.*.flow",
        "flow",
        '"shared"',
        "which way the table travels: own (stays with its store), down (comes from head office) or shared (merged)",
        '"own"',
    ),
    ConfigKey(
        "table.*.columns.*",
        "policy",
        None,
        "what decides a cell of this column that both sides changed; sum adds both changes, for stock and counters",
        '"sum"',
    ),
    ConfigKey("table.*.actor", "column", None, "the column that names who did it", '"updated_by"'),
    ConfigKey("table.*.skip", "columns", "[]", "columns that are never read and never written", '["pin_hash"]'),
    ConfigKey(
        "table.*.renamed.*",
        "column",
        None,
        "the new name of a column, by its old one: both are one column, wherever it still has the old name",
        '"unit_price"',
    ),
    ConfigKey(
        "table.*.dropped",
        "columns",
        "[]",
        "columns that end everywhere: they leave the branch, and are not read where a database still has them",
        '["fax"]',
    ),
    ConfigKey(
        "table.*.gone",
        "switch",
        "false",
        "true: the table ends everywhere; it leaves the branches that have it",
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
class TableConfig:
    """``columns`` gives a column's policy. ``newest`` is always None in this version, which refuses the key."""

    key: tuple[str, ...] = ()
    flow: Flow = "shared"
    columns: Mapping[str, str] = field(default_factory=dict)
    newest: str | None = None
    actor: str | None = None
    skip: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    gone: bool = False


@dataclass(frozen=True)
class Config:
    """All of ``prontosync.toml``; ``remotes`` and ``tables`` are by name."""

    store: StoreConfig | None = None
    source: SourceConfig | None = None
    remotes: dict[str, RemoteConfig] = field(default_factory=dict)
    tables: dict[str, TableConfig] = field(default_factory=dict)

    def table(self, name: str) -> TableConfig:
        """What is said about a table; the defaults where nothing is."""
        return self.tables.get(name) or TableConfig()


def located(text: str, folder: Path) -> str:
    """A path or URL of the configuration for use: a relative path counts from ``folder``, the repository's."""
    return text if "://" in text else str(folder / text)


def suggestion(name: str, known: Iterable[str]) -> str:
    """The hint for a name that is not known."""
    from difflib import get_close_matches

    names = list(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    return f'did you mean "{near[0]}"?' if near else "known here: " + ", ".join(names)


def check_against_schema(config: Config, tables: Mapping[str, TableSchema]) -> None:
    """Raises ConfigError where what is said about a table's columns does not fit them; other tables pass."""
    for name, said in config.tables.items():
        if name in tables:
            _check_names(name, said, tables[name])
            for column in said.columns:
                _check_sum(name, column, tables[name])


def _check_names(table: str, said: TableConfig, schema: TableSchema) -> None:
    actor = [("actor", said.actor)] if said.actor is not None else []
    named = [*(("key", column) for column in said.key), *((f"columns.{name}", name) for name in said.columns), *actor]
    for key, column in named:
        if column not in schema.names:
            what = f'table "{table}" has no column "{column}", which "{key}" names'
            raise ConfigError(what, suggestion(column, schema.names), ("table", table, *key.split(".", 1)))


def _check_sum(table: str, column: str, schema: TableSchema) -> None:
    reason = None
    if column in schema.key:
        reason = "it is part of the key, and a row with another key is another row"
    elif (kind := schema.type_of(column)) not in {"int64", "float64"} and not decimal_parts(kind):
        reason = f"its type is {kind}, and only int64, float64 and decimal can be added"
    if reason:
        what = f'column "{column}" of table "{table}" cannot have the policy "sum": {reason}'
        raise ConfigError(what, "take the policy out", ("table", table, "columns", column))
