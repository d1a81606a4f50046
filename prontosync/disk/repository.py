"""A repository on this disk: its folder, its parts, and how it is found and made."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from prontosync.disk import files
from prontosync.disk.config import Config
from prontosync.disk.config_file import load
from prontosync.disk.journal import Journal
from prontosync.disk.live import LiveFile
from prontosync.disk.lock import repository_lock
from prontosync.disk.notes import CaptureNote, NoteFile, OrphansNote, RulesNote, RunNotes, SourceNote
from prontosync.disk.objects import FolderObjectStore
from prontosync.disk.pins import PinFiles
from prontosync.disk.refs import FolderRefs
from prontosync.disk.remembered import RememberedRecords
from prontosync.errors import RepositoryError
from prontosync.model import encoding
from prontosync.model.names import RefName, ref_name
from prontosync.model.objects import Format

FORMAT = 1
CONFIG_NAME = "prontosync.toml"
INNER = ".prontosync"
STALE_SECONDS = 7 * 24 * 3600


class NoRepository(RepositoryError):
    id = "no-repository"


class AlreadyRepository(RepositoryError):
    id = "already-a-repository"


class Repository:
    """``top`` is the folder with ``prontosync.toml``; everything else lies in ``inner``."""

    def __init__(self, top: Path) -> None:
        self.top, self.inner = top, top / INNER
        self.id = read_format(self.inner).repository
        self.objects = FolderObjectStore(self.inner)
        self.cache = FolderObjectStore(self.inner / "cache")
        self.refs = FolderRefs(self.inner, self.id)
        self.journal = Journal(self.inner / "journal.jsonl")
        self.live = LiveFile(self.inner / "live.json")
        self.pins = PinFiles(self.inner / "pins")
        self.remembered = RememberedRecords(self.inner / "remembered")
        self.seen = NoteFile(self.inner / "cache" / "source.json", SourceNote)
        self.captured = NoteFile(self.inner / "cache" / "capture.json", CaptureNote)
        self.runs = RunNotes(self.inner / "cache" / "runs")
        self.orphans = NoteFile(self.inner / "cache" / "orphans.json", OrphansNote)
        self.rules = NoteFile(self.inner / "rules.json", RulesNote)
        self.tmp = self.inner / "tmp"
        self._config: Config | None = None

    @property
    def config_path(self) -> Path:
        return self.top / CONFIG_NAME

    @property
    def config(self) -> Config:
        """The configuration, decoded at first use. Raises ConfigError."""
        if self._config is None:
            self._config = load(self.config_path)
        return self._config

    @property
    def branch(self) -> RefName:
        """The current branch."""
        try:
            return ref_name(files.read_bytes(self.inner / "HEAD").decode().strip())
        except (files.FileMissing, UnicodeDecodeError):
            raise NoRepository(f'"{self.inner}" has no HEAD') from None

    def set_branch(self, name: RefName) -> None:
        files.replace(self.inner / "HEAD", f"{name}\n".encode())

    def lock(self) -> AbstractContextManager[None]:
        """The lock that every command which changes something holds."""
        return repository_lock(self.inner / "lock")

    def sweep(self, now: float) -> None:
        """Remove what crashed runs left in ``tmp`` a week ago or more; ``now`` in seconds since 1970."""
        for path in self.tmp.iterdir() if self.tmp.is_dir() else ():
            if now - path.lstat().st_mtime <= STALE_SECONDS:
                continue
            if path.is_dir() and not path.is_symlink():
                import shutil

                shutil.rmtree(path, ignore_errors=True)
            else:
                files.remove(path)


def find(start: Path) -> Repository:
    """The repository that holds ``start``. Raises NoRepository."""
    for folder in (start, *start.absolute().parents):
        if (folder / INNER / "format.json").is_file():
            return Repository(folder.absolute())
    raise NoRepository(
        f'no repository in "{start}" or above it', "make one here: prontosync init, or go to one with -C DIR"
    )


def create(top: Path, config: str, branch: RefName) -> Repository:
    """Make an empty repository in ``top``, which may hold other files. Raises AlreadyRepository."""
    import uuid

    inner = top / INNER
    if (inner / "format.json").exists() or (top / CONFIG_NAME).exists():
        raise AlreadyRepository(f'"{top}" is a repository already')
    for folder in ("objects", "refs", "tmp", "cache"):
        (inner / folder).mkdir(parents=True, exist_ok=True)
    files.replace(top / CONFIG_NAME, config.encode())
    files.replace(inner / "HEAD", f"{branch}\n".encode())
    write_format(inner, str(uuid.uuid4()))
    return Repository(top)


def write_format(folder: Path, repository: str) -> None:
    files.add_if_new(folder / "format.json", encoding.encode(Format(FORMAT, repository)))


def read_format(folder: Path) -> Format:
    """Raises NoRepository, or NewerFormat where a later version made it."""
    try:
        return check_format(files.read_bytes(folder / "format.json"))
    except files.FileMissing:
        raise NoRepository(f'no repository in "{folder}"') from None


def check_format(data: bytes) -> Format:
    """Raises MalformedObject or NewerFormat."""
    form = encoding.decode(data, Format)
    if form.format != FORMAT:
        raise encoding.NewerFormat(f"repository format {form.format} is newer than this program", "upgrade prontosync")
    return form
