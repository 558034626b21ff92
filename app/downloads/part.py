"""A file that is not whole yet: ``<name>.part`` beside its final place, and ``<name>.part.json`` about what is in it.

What the process wrote survives its death; what was synced survives the machine's. So the state names both, with the
start of the machine that the former is good for.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
from pathlib import Path

import msgspec
import psutil

from app.downloads.ranges import RangeSet
from app.downloads.types import DownloadError, NoRoom
from app.files import storage_error, sync_folder, write_atomically
from engine.errors import KnownError

_log = logging.getLogger(__name__)

PART_SUFFIX = ".part"
STATE_SUFFIX = ".part.json"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MAX_STATE_BYTES = 4 << 20
_SEEKING = threading.Lock()
"""Where a read or write has no position of its own (Windows, macOS for reads)."""

_FAR = 1 << 62
"""Windows locks bytes, not files, and may lock such that do not exist."""


class PartState(msgspec.Struct, frozen=True):
    """``done`` is what was written since ``boot`` at the latest, ``synced`` what the disk itself has."""

    size_bytes: int
    sha256: str | None
    commit: str
    boot: str
    done: tuple[tuple[int, int], ...] = ()
    synced: tuple[tuple[int, int], ...] = ()
    etags: dict[str, str] = {}


class PartFile:
    """Open for one owner, who alone may write it. Thread: ``write`` and ``read`` any, the rest the owner's.

    Raises StorageError, NoRoom and DownloadError.
    """

    def __init__(self, final: Path, size_bytes: int, sha256: str | None, commit: str) -> None:
        self.final = final
        self.size_bytes = size_bytes
        self.sha256 = sha256
        self.commit = commit
        self.path = final.with_name(final.name + PART_SUFFIX)
        self._state_path = final.with_name(final.name + STATE_SUFFIX)
        self.etags: dict[str, str] = {}
        self._synced: tuple[tuple[int, int], ...] = ()
        self._fd = self._open()
        try:
            self.done = self._load()
        except BaseException:
            os.close(self._fd)
            raise

    def write(self, view: memoryview, position: int) -> None:
        try:
            while view:
                n_bytes = _pwrite(self._fd, view, position)
                view, position = view[n_bytes:], position + n_bytes
        except OSError as error:
            raise disk_error(error, self.path) from error

    def read(self, view: memoryview, position: int) -> int:
        try:
            return _pread(self._fd, view, position)
        except OSError as error:
            raise disk_error(error, self.path) from error

    def save(self, done: RangeSet, *, durably: bool = False) -> None:
        """Keep what is here. ``durably`` waits until the disk has it."""
        ranges = tuple(done)
        try:
            if durably:
                _sync(self._fd)
                self._synced = ranges
            encoded = msgspec.json.encode(self._state(ranges))
            if durably:
                write_atomically(self._state_path, encoded)
            else:
                _replace(self._state_path, encoded)
        except OSError as error:
            raise disk_error(error, self._state_path) from error

    def start_again(self) -> None:
        """Nothing of what is here can be used."""
        self.done, self._synced, self.etags = RangeSet(), (), {}
        try:
            os.ftruncate(self._fd, 0)
            self._state_path.unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(error, self.path) from error

    def finish(self) -> None:
        """Give the whole file its name. One that is there already is never replaced. Raises DownloadError."""
        try:
            os.ftruncate(self._fd, self.size_bytes)
            os.fsync(self._fd)
            _rename_if_free(self.path, self.final)
            self._state_path.unlink(missing_ok=True)
            sync_folder(self.final.parent)
        except FileExistsError as error:
            raise in_the_way(self.final) from error
        except OSError as error:
            raise disk_error(error, self.final) from error

    def close(self) -> None:
        os.close(self._fd)

    def _state(self, done: tuple[tuple[int, int], ...]) -> PartState:
        return PartState(self.size_bytes, self.sha256, self.commit, boot_id(), done, self._synced, dict(self.etags))

    def _open(self) -> int:
        try:
            self.final.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
            descriptor = os.open(self.path, flags | getattr(os, "O_CLOEXEC", 0), 0o644)
        except OSError as error:
            raise disk_error(error, self.path) from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise DownloadError(f"{self.path} is not a regular file.", "Move it away and try again.")
            _lock(descriptor, self.final)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _load(self) -> RangeSet:
        """What of the file can be used: nothing of one that does not fit what is wanted now."""
        state = self._read_state()
        same = state is not None and state.size_bytes == self.size_bytes and self._is_same_file(state)
        if state is None or not same:
            if os.fstat(self._fd).st_size:
                _log.info("%s is fetched anew: its state is not there or belongs to another file", self.final.name)
                os.ftruncate(self._fd, 0)
            return RangeSet()
        self.etags = dict(state.etags)
        self._synced = state.synced
        present = os.fstat(self._fd).st_size
        ranges = state.done if state.boot == boot_id() else state.synced
        limit = min(present, self.size_bytes)
        return RangeSet((max(0, start), min(end, limit)) for start, end in ranges)

    def _is_same_file(self, state: PartState) -> bool:
        if self.sha256 is not None or state.sha256 is not None:
            return state.sha256 == self.sha256
        return state.commit == self.commit

    def _read_state(self) -> PartState | None:
        try:
            with self._state_path.open("rb") as file:
                return msgspec.json.decode(file.read(_MAX_STATE_BYTES), type=PartState)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            _log.warning("%s cannot be read: %s", self._state_path, error)
            return None


def bytes_on_disk(final: Path) -> int:
    """What an unfinished download of this file takes on the disk, holes not counted."""
    try:
        status = final.with_name(final.name + PART_SUFFIX).lstat()
    except OSError:
        return 0
    blocks: int = getattr(status, "st_blocks", 0)
    return min(status.st_size, blocks * 512) if blocks else status.st_size


def kept_ranges(final: Path) -> int:
    """How many bytes of an unfinished download are here, as its state tells."""
    try:
        state = msgspec.json.decode(final.with_name(final.name + STATE_SUFFIX).read_bytes(), type=PartState)
    except (OSError, ValueError, RecursionError):
        return 0
    return RangeSet(state.done if state.boot == boot_id() else state.synced).n_bytes


def discard(final: Path) -> None:
    """Delete what is not whole. Never touches a finished file. Raises StorageError."""
    for suffix in (PART_SUFFIX, STATE_SUFFIX):
        path = final.with_name(final.name + suffix)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, path) from error


def in_the_way(final: Path) -> DownloadError:
    text = f"Another file is called {final.name} already."
    return DownloadError(text, f"Rename or delete it in {final.parent}, then try again.")


def disk_error(error: OSError, path: Path) -> KnownError:
    if error.errno in _FULL:
        text = f"The disk that holds {path.parent} is full."
        return NoRoom(text, "Free some space and continue; what is here already is kept.")
    return storage_error(error, path)


def boot_id() -> str:
    """Which start of the machine this is."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return f"{int(psutil.boot_time()) // 60}"


def _replace(path: Path, data: bytes) -> None:
    """Another process finds the old or the new one; after a power cut it may find neither."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _rename_if_free(source: Path, target: Path) -> None:
    """Raises FileExistsError. Where hard links do not exist, somebody could just squeeze in between."""
    if os.name == "nt":
        source.rename(target)  # refuses by itself
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        if target.exists():
            raise FileExistsError(errno.EEXIST, "exists", str(target)) from None
        source.rename(target)
    else:
        source.unlink()


def _sync(descriptor: int) -> None:
    if hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)


def _lock(descriptor: int, final: Path) -> None:
    """Raises DownloadError where another process, or another download here, has it."""
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(descriptor, _FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = f"{final.name} is being downloaded by another Hearth."
        raise DownloadError(text, "Wait until it is done there, or stop it.") from None
    except OSError as error:
        _log.info("%s cannot be locked: %s", final.name, error)


def _pwrite(descriptor: int, view: memoryview, position: int) -> int:
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, view, position)
    with _SEEKING:
        os.lseek(descriptor, position, os.SEEK_SET)
        return os.write(descriptor, view)


def _pread(descriptor: int, view: memoryview, position: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [view], position)
    with _SEEKING:
        os.lseek(descriptor, position, os.SEEK_SET)
        data = os.read(descriptor, len(view))
    view[: len(data)] = data
    return len(data)
