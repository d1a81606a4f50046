"""The rules of merging as an object that commits name: policies by table and column, invariants, and who set them.

``docs/merging.md`` says what each of them decides.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from prontosync.model import encoding
from prontosync.model.ids import ObjectId, object_id

SUM, MAX, MIN, PREFER, NONE = "sum", "max", "min", "prefer", "none"
WINS, LOSES = "wins", "loses"


class TableRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is said of one table, or of all that say nothing themselves. None, empty and false: nothing is said.

    ``columns`` has a policy by column: ``sum``, ``max``, ``min``, ``prefer BRANCH`` or ``none``. ``newest`` and
    ``owner`` name a column, ``prefer`` a branch. ``delete`` is ``wins`` or ``loses``; ``renumber`` is ``main`` or
    ``store``: whose row gets a new key. ``renamed`` has columns' new names by their old ones; ``dropped`` are columns
    whose end head office confirms, ``gone`` says the same of the whole table.
    """

    flow: str | None = None
    columns: Mapping[str, str] = {}
    newest: str | None = None
    prefer: str | None = None
    owner: str | None = None
    append_only: bool = False
    delete: str | None = None
    renumber: str | None = None
    renamed: Mapping[str, str] = {}
    dropped: tuple[str, ...] = ()
    gone: bool = False


class Invariant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """SQL that must return no row, over the schemas ``base``, ``ours``, ``theirs``, ``merged``. What it returns has the
    key columns of ``table``. ``refuse``: such a merge is not made."""

    table: str
    sql: str
    refuse: bool = False


class RuleSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Rules from one file."""

    default: TableRules = TableRules()
    tables: Mapping[str, TableRules] = {}
    invariants: Mapping[str, Invariant] = {}

    def table(self, name: str) -> TableRules:
        """What is said of a table by its name; nothing where it is not there."""
        return self.tables.get(name) or TableRules()

    def effective(self, name: str) -> TableRules:
        """What holds for a table: what is said of it, and beside that what is said of all."""
        own, default = self.table(name), self.default
        return msgspec.structs.replace(
            own,
            flow=own.flow or default.flow,
            newest=own.newest or default.newest,
            prefer=own.prefer or default.prefer,
            delete=own.delete or default.delete,
        )


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind", tag="rules"):
    """The rules that a commit was made by.

    ``shared`` are head office's; ``version`` grows with each change of them, 0 where head office never set any and
    ``shared`` is what the place's own file says. ``branch`` and ``store`` are head office's, empty in version 0.
    ``added`` is what the place that made the commit had in its own file beside them.
    """

    version: int = 0
    branch: str = ""
    store: str = ""
    shared: RuleSet = RuleSet()
    added: RuleSet = RuleSet()
    requires: tuple[str, ...] = ()


def encode_rules(rules: Rules) -> tuple[ObjectId, bytes]:
    """The address and the bytes of the object."""
    data = encoding.encode(rules)
    return object_id(data), data


def decode_rules(data: bytes) -> Rules:
    """Raises MalformedObject or NewerFormat (``model.encoding``)."""
    rules = encoding.decode(data, Rules)
    if rules.version < 0:
        raise encoding.MalformedObject("rules of a negative version")
    return rules
