"""Which model a file is: its SHA-256, computed once per file and remembered.

Pages of the KV cache outlive the process that made them, and must never be given to another model of the same shape.
Hashing takes about a second a gigabyte, in the same pass over the file that loading it makes anyway.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
from pathlib import Path

import msgspec

from engine.errors import ModelFileError

log = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20
_SPLIT = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<total>\d{5})\.gguf", re.IGNORECASE)
_MAX_REMEMBERED = 256


class _Known(msgspec.Struct, frozen=True):
    """A hash, and what the file looked like then."""

    size_bytes: int
    modified_ns: int
    inode: int
    sha256: str


def model_sha256(path: Path, memo: Path) -> str:
    """The hash of a model's file, in hex; of a model in parts, the hash of all parts' hashes.

    From ``memo`` where a file has not changed since. Raises ModelFileError.
    """
    split = _SPLIT.fullmatch(path.name)
    if split is None:
        return _file_sha256(path, memo)
    stem, total = split["stem"], split["total"]
    parts = [path.with_name(f"{stem}-{number:05}-of-{total}.gguf") for number in range(1, int(total) + 1)]
    return hashlib.sha256("".join(_file_sha256(part, memo) for part in parts).encode()).hexdigest()


def _file_sha256(path: Path, memo: Path) -> str:
    try:
        status = path.stat()
        known = _read(memo)
        found = known.get(str(path))
        seen = (status.st_size, status.st_mtime_ns, status.st_ino)
        if found is not None and (found.size_bytes, found.modified_ns, found.inode) == seen:
            return found.sha256
        digest = _hash(path)
    except OSError as error:
        raise ModelFileError(f"{path.name} cannot be read: {error.strerror}.") from error
    known.pop(str(path), None)
    known[str(path)] = _Known(*seen, digest)
    _write(memo, dict(list(known.items())[-_MAX_REMEMBERED:]))
    return digest


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _read(memo: Path) -> dict[str, _Known]:
    try:
        return msgspec.json.decode(memo.read_bytes(), type=dict[str, _Known])
    except (OSError, ValueError, RecursionError):
        return {}


def _write(memo: Path, known: dict[str, _Known]) -> None:
    """A memo that cannot be written costs time at the next load, and nothing else."""
    temporary = memo.with_name(f"{memo.name}.{os.getpid()}")
    try:
        memo.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(msgspec.json.encode(known))
        os.replace(temporary, memo)
    except OSError as error:
        log.info("hashes are not remembered: %s", error)
        with contextlib.suppress(OSError):  # there may be no such folder, or a file in its place
            temporary.unlink(missing_ok=True)
