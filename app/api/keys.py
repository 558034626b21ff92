"""The key that clients of the API show."""

from __future__ import annotations

import hmac
import logging
import os
import secrets
from pathlib import Path

from app.files import storage_error, write_atomically
from engine.errors import StorageError

_log = logging.getLogger(__name__)

KEY_FILE_NAME = "api-key"
_N_RANDOM_BYTES = 32
_MIN_CHARS = 32
_OTHERS = 0o077


def load_or_create_key(path: Path) -> str:
    """The key in ``path``, a file that only its owner may read; made with 256 random bits where there is none.

    Raises StorageError.
    """
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(path, f"hearth-{secrets.token_urlsafe(_N_RANDOM_BYTES)}\n".encode())
        _keep_private(path)
        key = path.read_bytes().decode("ascii").strip()
    except OSError as error:
        raise storage_error(error, path) from error
    except UnicodeDecodeError:
        key = ""
    if len(key) < _MIN_CHARS or not key.isprintable() or " " in key:
        raise StorageError(f"{path} does not hold a usable key.", "Delete the file, and a new key will be made.")
    return key


def is_same_key(shown: str, key: str) -> bool:
    """In a time that does not tell how much of it was right."""
    return hmac.compare_digest(shown.encode(errors="replace"), key.encode())


def _keep_private(path: Path) -> None:
    """Take away what others may do with the file. Raises OSError."""
    if os.name != "nt" and path.stat().st_mode & _OTHERS:
        path.chmod(0o600)
        _log.warning("the file with the API key could be read by others; it no longer can")
