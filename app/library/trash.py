"""The system's recycle bin."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from engine.errors import StorageError

Trash = Callable[[Path], None]
"""Moves a file to the recycle bin. Raises StorageError where there is none for its disk."""

_HINT = "It can be deleted for good instead."


def move_to_trash(path: Path) -> None:
    """By Send2Trash: the XDG trash, the Windows recycle bin, the macOS trash."""
    try:
        send = importlib.import_module("send2trash").send2trash
    except ImportError:
        raise StorageError(f"{path.name} cannot be moved to the recycle bin: there is none here.", _HINT) from None
    try:
        send(str(path))
    except OSError as error:  # also its TrashPermissionError
        reason = error.strerror or str(error) or "the system refused"
        raise StorageError(f"{path.name} cannot be moved to the recycle bin: {reason}.", _HINT) from error
