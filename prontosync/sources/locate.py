"""From the address in the configuration to a source."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from prontosync.model.progress import SILENT, Progress
from prontosync.sources.contract import Source, SourceUnfit
from prontosync.sources.fingerprint import fingerprint
from prontosync.sources.survey import Selection

BUSY_SECONDS = 30.0


def locate(
    url: str,
    *,
    base: Path,
    temp: Path,
    selection: Selection | None = None,
    busy_seconds: float = BUSY_SECONDS,
    progress: Progress = SILENT,
) -> Source:
    """The source at ``url``: a path, relative to ``base``, or ``sqlite:///relative`` or ``sqlite:////absolute``.

    Opens nothing. ``temp`` is a private folder. Raises SourceUnfit for an address of another kind.
    """
    from prontosync.sources.sqlite import SqliteSource

    return SqliteSource(base / _path(url), temp=temp, selection=selection, busy_seconds=busy_seconds, progress=progress)


def look(url: str, *, base: Path, now_ns: int) -> str | None:
    """What the source at ``url`` looks like from outside (``sources.fingerprint``), without the libraries that read it.
    Raises SourceUnfit as ``locate``."""
    return fingerprint(base / _path(url), now_ns)


def _path(url: str) -> str:
    if "://" not in url:
        return url
    scheme = url.split("://", 1)[0].lower()
    if scheme in ("postgresql", "postgres"):
        raise SourceUnfit("PostgreSQL is not supported yet", 'give an SQLite database as "url" under [source]')
    parts = urlsplit(url)
    if scheme != "sqlite" or parts.netloc or parts.query or parts.fragment or len(parts.path) < 2:
        raise SourceUnfit(
            f'"{url}" is not the address of a database', "write a path, sqlite:///relative.db or sqlite:////absolute.db"
        )
    return unquote(parts.path[1:])
