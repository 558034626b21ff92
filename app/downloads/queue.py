"""What is to be downloaded, kept in a file from one run to the next."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from app.files import set_aside, storage_error, write_atomically
from engine.errors import ErrorInfo

_log = logging.getLogger(__name__)

QUEUE_FILE_NAME = "downloads.json"


class WantedFile(msgspec.Struct, frozen=True):
    path: str
    size_bytes: int
    sha256: str | None = None


class Wanted(msgspec.Struct, frozen=True):
    """One download. ``files`` are in the order in which they are fetched; ``problem`` is why it has failed."""

    id: str
    name: str
    repo_id: str
    commit: str
    endpoint: str
    files: tuple[WantedFile, ...]
    licence: str | None = None
    is_paused: bool = False
    is_done: bool = False
    problem: ErrorInfo | None = None

    @property
    def total_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


class QueueFile:
    """Thread: one at a time. ``path`` None keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def read(self) -> tuple[Wanted, ...]:
        """A list that cannot be understood is set aside; what is half downloaded stays."""
        if self._path is None:
            return ()
        try:
            return tuple(msgspec.json.decode(self._path.read_bytes(), type=list[Wanted]))
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, RecursionError) as error:
            _log.warning("the list of downloads cannot be read: %s", error)
        try:
            set_aside(self._path)
        except OSError as error:
            _log.warning("the damaged list of downloads stays in place: %s", error)
        return ()

    def write(self, items: tuple[Wanted, ...]) -> None:
        """Raises StorageError."""
        if self._path is None:
            return
        try:
            write_atomically(self._path, msgspec.json.format(msgspec.json.encode(list(items))))
        except OSError as error:
            raise storage_error(error, self._path) from error
