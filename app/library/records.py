"""What is remembered of single files: where they came from, what they were, and when they were used."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

import msgspec
from msgspec.structs import replace

from app.files import set_aside, storage_error, write_atomically
from app.library.types import Origin

_logger = logging.getLogger(__name__)


class Record(msgspec.Struct, frozen=True):
    """``sha256`` is what the file was when it was first verified."""

    origin: Origin | None = None
    last_used_s: float | None = None
    sha256: str | None = None


_NOTHING = Record()


class FileRecords:
    """Thread: any. Files in the models folder are known by their place in it, so that the folder can be moved."""

    def __init__(self, path: Path, models: Path) -> None:
        self._path = path
        self._below = f"{models}{os.sep}"
        self._lock = threading.Lock()
        self._records = _read(path)

    def of(self, file: Path) -> Record:
        return self._records.get(self._key(file), _NOTHING)

    def update(self, file: Path, **changes: object) -> None:
        """Raises StorageError; nothing is changed then."""
        key = self._key(file)
        with self._lock:
            record = replace(self._records.get(key, _NOTHING), **changes)
            self._replace({**self._records, key: record})

    def forget(self, file: Path) -> None:
        """Raises StorageError; nothing is forgotten then."""
        key = self._key(file)
        with self._lock:
            if key in self._records:
                self._replace({other: record for other, record in self._records.items() if other != key})

    def _key(self, file: Path) -> str:
        """By text, since a list of a thousand models asks for each."""
        path = str(file)
        return path.removeprefix(self._below).replace(os.sep, "/") if path.startswith(self._below) else path

    def _replace(self, records: dict[str, Record]) -> None:
        try:
            write_atomically(self._path, msgspec.json.format(msgspec.json.encode(records)))
        except OSError as error:
            raise storage_error(error, self._path) from error
        self._records = records


def _read(path: Path) -> dict[str, Record]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Record])
    except FileNotFoundError:
        return {}
    except OSError as error:
        _logger.warning("what was remembered of models cannot be read: %s", error)
        return {}
    except (ValueError, RecursionError) as error:
        _logger.warning("what was remembered of models is set aside: %s", error)
        try:
            set_aside(path)
        except OSError as refused:
            _logger.warning("it stays in place: %s", refused)
        return {}
