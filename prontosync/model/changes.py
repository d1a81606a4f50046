"""How the changes of a table travel between rooms: kinds, and column names that no table may use."""

from __future__ import annotations

CHANGE = "_ps_change"
UPSERT, DELETE = "upsert", "delete"
INSERT, UPDATE = "insert", "update"

COLUMN, PRESENT = "_ps_column", "_ps_present"
FROM, COMMIT, KIND, SINCE = "_ps_from", "_ps_commit", "_ps_kind", "_ps_since"
CANDIDATE_COLUMNS = (COLUMN, PRESENT, FROM, COMMIT, KIND, SINCE)

STATE_TABLE = "_prontosync_state"
"""The one row that an apply notes in the live database; never part of a snapshot."""
