"""The key that clients of the API show.

It is kept in a file that only its owner may read, and not in the desktop's keyring: ``serve`` needs it where there is
no desktop, every client has it in a file of its own anyway, and programs of the same user can read a keyring as well.
Keys for servers of others, which are not ours to spread, do go into the keyring.
"""

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
            _write(path, _new_key())
        _keep_private(path)
        key = path.read_bytes().decode("ascii").strip()
    except OSError as error:
        raise storage_error(error, path) from error
    except UnicodeDecodeError:
        key = ""
    if len(key) < _MIN_CHARS or not key.isprintable() or " " in key:
        raise StorageError(f"{path} does not hold a usable key.", "Renew the key, or delete the file.")
    return key


def renew_key(path: Path) -> str:
    """Another key in the place of the one that is there, which also mends a damaged file. Raises StorageError."""
    key = _new_key()
    try:
        _write(path, key)
    except OSError as error:
        raise storage_error(error, path) from error
    return key


def is_same_key(shown: str, key: str) -> bool:
    """In a time that does not tell how much of it was right."""
    return hmac.compare_digest(shown.encode(errors="replace"), key.encode())


def _new_key() -> str:
    return f"hearth-{secrets.token_urlsafe(_N_RANDOM_BYTES)}"


def _write(path: Path, key: str) -> None:
    """Readable by its owner alone from the first moment on. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(path, f"{key}\n".encode())


def _keep_private(path: Path) -> None:
    """Take away what others may do with the file. Raises OSError."""
    if os.name != "nt" and path.stat().st_mode & _OTHERS:
        path.chmod(0o600)
        _log.warning("the file with the API key could be read by others; it no longer can")
