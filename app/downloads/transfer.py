"""One download from start to end: all its files, and their final names when all of them are whole."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from app.downloads.attempt import Options, Pause
from app.downloads.fetch import FileFetch
from app.downloads.hasher import CHUNK_BYTES
from app.downloads.pace import Limiter
from app.downloads.part import PartFile, bytes_on_disk, discard, in_the_way, kept_ranges
from app.downloads.queue import Wanted, WantedFile
from app.downloads.types import Finished, NoRoom, Room
from app.files import storage_error
from app.hub.names import safe_child
from app.hub.resolve import Origin
from app.jobs import CancelToken
from engine.errors import Cancelled


class Transfer:
    """Thread: ``run`` one of its own; the properties any."""

    def __init__(
        self,
        wanted: Wanted,
        folder: Path,
        origins: Callable[[WantedFile], Sequence[Origin]],
        options: Options,
        limiter: Limiter,
    ) -> None:
        """``origins`` tells where a file can be had, the best place first."""
        self.stop = CancelToken()
        self._wanted = wanted
        self._folder = folder
        self._origins = origins
        self._options = options
        self._limiter = limiter
        self._fetch: FileFetch | None = None
        self._finished_bytes = 0
        self._n_received = 0
        self._is_checking = False

    @property
    def done_bytes(self) -> int:
        fetch = self._fetch
        return self._finished_bytes + (fetch.done_bytes if fetch is not None else 0)

    @property
    def n_received(self) -> int:
        fetch = self._fetch
        return self._n_received + (fetch.n_received if fetch is not None else 0)

    @property
    def pause(self) -> Pause | None:
        fetch = self._fetch
        return fetch.pause if fetch is not None else None

    @property
    def is_checking(self) -> bool:
        return self._is_checking or self.done_bytes >= self._wanted.total_bytes

    def run(self, finishing: Callable[[tuple[Finished, ...]], None]) -> None:
        """``finishing`` is told of the files before they get their final names. Raises KnownError, Cancelled."""
        wanted = self._wanted
        finals = {file: safe_child(self._folder, wanted.repo_id, file.path) for file in wanted.files}
        missing = [file for file in wanted.files if not self._is_here(file, finals[file])]
        room = room_for(wanted, self._folder, self._options.reserve_bytes)
        if missing and not room.is_enough:
            raise no_room(room, self._folder)
        with ExitStack() as stack:
            parts = []
            for file in missing:
                part = PartFile(finals[file], file.size_bytes, file.sha256, wanted.commit)
                stack.callback(part.close)
                parts.append(part)
                self._run_file(file, part)
            finishing(tuple(self._finished(file, finals[file]) for file in wanted.files))
            for part in reversed(parts):  # the first one last: it is the one that is loaded
                part.finish()

    def _run_file(self, file: WantedFile, part: PartFile) -> None:
        self._fetch = FileFetch(part, self._origins(file), self._options, self._limiter, self.stop)
        try:
            self._fetch.run()
        finally:
            fetch, self._fetch = self._fetch, None
            self._finished_bytes += fetch.done_bytes
            self._n_received += fetch.n_received

    def _is_here(self, file: WantedFile, final: Path) -> bool:
        """Whether the finished file is there already. Raises DownloadError where another one has its name."""
        if not final.exists():
            return False
        if not final.is_file() or final.stat().st_size != file.size_bytes:
            raise in_the_way(final)
        if file.sha256 is not None and self._hash(final) != file.sha256:
            raise in_the_way(final)
        self._finished_bytes += file.size_bytes
        discard(final)  # a process that ended just after it gave the name
        return True

    def _hash(self, final: Path) -> str:
        digest, buffer = hashlib.sha256(), memoryview(bytearray(CHUNK_BYTES))
        self._is_checking = True
        try:
            with final.open("rb", buffering=0) as opened:
                while n_bytes := opened.readinto(buffer):
                    digest.update(buffer[:n_bytes])
                    if self.stop.cancelled:
                        raise Cancelled
        except OSError as error:
            raise storage_error(error, final) from error
        finally:
            self._is_checking = False
        return digest.hexdigest()

    def _finished(self, file: WantedFile, path: Path) -> Finished:
        wanted = self._wanted
        return Finished(path, wanted.repo_id, wanted.commit, file.path, file.sha256, wanted.licence, wanted.endpoint)


def room_for(wanted: Wanted, folder: Path, reserve_bytes: int) -> Room:
    """Reads the disk. Raises UnsafeName, StorageError."""
    missing = 0
    for file in wanted.files:
        final = safe_child(folder, wanted.repo_id, file.path)
        if not final.exists():
            missing += max(0, file.size_bytes - bytes_on_disk(final))
    try:
        free = shutil.disk_usage(_existing(folder)).free
    except OSError as error:
        raise storage_error(error, folder) from error
    return Room(missing + reserve_bytes if missing else 0, free)


def kept_bytes(wanted: Wanted, folder: Path) -> int:
    """What of it is here. Reads the disk. Raises UnsafeName."""
    finals = ((file, safe_child(folder, wanted.repo_id, file.path)) for file in wanted.files)
    return sum(file.size_bytes if final.exists() else kept_ranges(final) for file, final in finals)


def no_room(room: Room, folder: Path) -> NoRoom:
    more = room.needed_bytes - room.free_bytes
    text = f"The disk that holds {folder} has no room for it: {_gigabytes(more)} more are needed."
    return NoRoom(text, "Free some space, or choose a smaller file.")


def _gigabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 10**9 else f"{max(1, round(n_bytes / 1e6))} MB"


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
