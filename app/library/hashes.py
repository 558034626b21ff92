"""SHA-256 of large files, computed once for each state of a file."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from app.files import write_atomically
from app.jobs import CancelToken
from engine.errors import ModelFileError

_logger = logging.getLogger(__name__)

_CHUNK_BYTES = 4 * 2**20
_MOST_KEPT = 4096


class _Hashed(msgspec.Struct, frozen=True):
    size_bytes: int
    modified_ns: int
    sha256: str


class Hashes:
    """Kept by device and inode, so that a renamed file is the same file. Thread: any."""

    def __init__(self, path: Path) -> None:
        """``path`` is where they are kept. It may be deleted at any time."""
        self._path = path
        self._lock = threading.Lock()
        self._kept = _load(path)

    def sha256(
        self,
        path: Path,
        on_bytes: Callable[[int], None] | None = None,
        cancel: CancelToken | None = None,
        *,
        afresh: bool = False,
    ) -> str:
        """In hex; ``afresh`` reads the file also where it has not changed since the last time.

        ``on_bytes`` is told how many more bytes are done. Raises ModelFileError, and Cancelled.
        """
        try:
            before = path.stat()
            known = self._known(before)
            if known is not None and not afresh:
                if on_bytes is not None:
                    on_bytes(before.st_size)
                return known
            digest = _hash(path, on_bytes, cancel)
            after = path.stat()
        except OSError as error:
            raise ModelFileError(f"{path.name} cannot be read: {error.strerror}.", "Check the disk.") from error
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            self._keep(after, digest)
        return digest

    def _known(self, status: os.stat_result) -> str | None:
        kept = self._kept.get(_key(status))
        same = kept is not None and (kept.size_bytes, kept.modified_ns) == (status.st_size, status.st_mtime_ns)
        return kept.sha256 if kept is not None and same else None

    def _keep(self, status: os.stat_result, sha256: str) -> None:
        with self._lock:
            self._kept.pop(_key(status), None)
            self._kept[_key(status)] = _Hashed(status.st_size, status.st_mtime_ns, sha256)
            self._kept = dict(list(self._kept.items())[-_MOST_KEPT:])
            try:
                write_atomically(self._path, msgspec.json.encode(self._kept))
            except OSError as error:
                _logger.info("hashes are not kept: %s", error)


def _hash(path: Path, on_bytes: Callable[[int], None] | None, cancel: CancelToken | None) -> str:
    digest, buffer = hashlib.sha256(), memoryview(bytearray(_CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        while n_bytes := file.readinto(buffer):
            if cancel is not None:
                cancel.raise_if_cancelled()
            digest.update(buffer[:n_bytes])
            if on_bytes is not None:
                on_bytes(n_bytes)
    return digest.hexdigest()


def _key(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}"


def _load(path: Path) -> dict[str, _Hashed]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, _Hashed])
    except (OSError, ValueError, RecursionError):
        return {}
