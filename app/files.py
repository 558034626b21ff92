"""Writing files so that a crash leaves the old one or the new one, and saying in a sentence why it did not work."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

from engine.errors import StorageError

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM})


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``: temporary file, fsync, rename, fsync of the folder. Raises OSError.

    The temporary file is removed when anything fails, and the old file is untouched then.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside ``folder`` durable, where the system can (Windows cannot open a folder)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def aside_name(path: Path) -> Path:
    """The first free name of the form ``<name>.corrupt-<n>`` beside ``path``."""
    n = 1
    while (candidate := path.with_name(f"{path.name}.corrupt-{n}")).exists():
        n += 1
    return candidate


def set_aside(path: Path) -> Path:
    """Rename a file that cannot be understood, so that it is kept and a fresh one can be written. Raises OSError."""
    kept = aside_name(path)
    path.replace(kept)
    return kept


def copy_durably(source: Path, target: Path) -> None:
    """Copy a file and wait until the copy is on the disk; a half-made copy is removed. Raises OSError."""
    try:
        shutil.copyfile(source, target)
        with target.open("rb+") as file:
            os.fsync(file.fileno())
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def storage_error(error: OSError, path: Path) -> StorageError:
    """Say what happened to ``path`` and what to do about it."""
    if error.errno in _NO_SPACE:
        return StorageError(f"The disk is full, so {path} cannot be written.", "Free some space and try again.")
    if error.errno == errno.EROFS:
        return StorageError(f"The disk that holds {path} is read-only.", "Make it writable, or set HEARTH_HOME.")
    if error.errno in _NOT_ALLOWED:
        return StorageError(f"Hearth has no permission to use {path}.", "Check who owns the file and its folder.")
    reason = error.strerror or type(error).__name__
    return StorageError(f"{path} cannot be used: {reason}.", "Check the disk and try again.")
