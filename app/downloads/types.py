"""Downloads as the user sees them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from engine.errors import ErrorInfo, KnownError


class DownloadState(StrEnum):
    """CHECKING is when all bytes are here and their hash is not yet known to be right; RETRYING waits after a fault."""

    WAITING = "waiting"
    RUNNING = "running"
    CHECKING = "checking"
    RETRYING = "retrying"
    PAUSED = "paused"
    FAILED = "failed"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class DownloadItem:
    """One row. ``problem`` is why it has failed, or what it is waiting after; ``paths`` are the files' final places.

    ``bytes_per_s`` is smoothed, 0 while nothing runs; ``time_left_s`` is None while it cannot be told.
    """

    id: str
    name: str
    repo_id: str
    state: DownloadState
    done_bytes: int
    total_bytes: int
    bytes_per_s: float
    time_left_s: float | None
    paths: tuple[Path, ...]
    problem: ErrorInfo | None = None
    retry_in_s: float | None = None

    @property
    def n_files(self) -> int:
        return len(self.paths)

    @property
    def fraction(self) -> float:
        return min(1.0, self.done_bytes / self.total_bytes) if self.total_bytes else 0.0


@dataclass(frozen=True, slots=True)
class Room:
    """What a download still needs of the disk, with what is kept free for everything else, and what there is."""

    needed_bytes: int
    free_bytes: int

    @property
    def is_enough(self) -> bool:
        return self.needed_bytes <= self.free_bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """A file that is whole and about to get its final name."""

    path: Path
    repo_id: str
    commit: str
    file: str
    sha256: str | None
    licence: str | None
    endpoint: str


class DownloadError(KnownError):
    """A download cannot go on by itself."""


class NoRoom(DownloadError):
    """The disk has no room for it, or has run full."""
