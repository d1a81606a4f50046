"""What lies on a hub, file by file: kinds and sizes, so that a push can be told object by object."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Listing:
    """The sizes of a hub's files at one time."""

    folder: Path
    sizes: dict[Path, int]

    @classmethod
    def of(cls, folder: Path) -> Listing:
        return cls(folder, {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()})

    def since(self, before: Listing) -> list[str]:
        """A line for each file that came since: kind, then bytes; the largest first."""
        new = [(size, kind_of(path)) for path, size in self.sizes.items() if path not in before.sizes]
        return [f"{kind}: {size:,}" for size, kind in sorted(new, reverse=True)]


def kind_of(path: Path) -> str:
    """``commit``, ``checkpoint (columns)``, ``patch (columns)``, ``ref record``; else the file's ending."""
    if "refs" in path.parts:
        return "ref record"
    try:
        if path.suffix == ".json":
            return str(json.loads(path.read_text()).get("kind", "json"))
        if path.suffix == ".parquet":
            return _parquet_kind(path)
    except (ValueError, OSError):
        pass
    return f"other ({path.suffix or path.name})"


def _parquet_kind(path: Path) -> str:
    from pyarrow import parquet

    names = parquet.read_schema(path).names
    own = [name for name in names if not name.startswith("_ps_")]
    kind = "patch" if "_ps_change" in names else "checkpoint" if "_ps_object" in names else "rows"
    return f"{kind} ({', '.join(own[:3])}{', …' if len(own) > 3 else ''})"
