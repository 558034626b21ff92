"""What was measured on this machine, in a file: by model, machine and build."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

log = logging.getLogger(__name__)

_MAX_REMEMBERED = 256

T = TypeVar("T")


class Kept(Generic[T]):
    """Values by key, the latest few hundred. A file that cannot be read or written is done without."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        self._path = path
        self._kind = kind

    def get(self, key: str) -> T | None:
        return self._read().get(key)

    def put(self, key: str, value: T) -> None:
        kept = self._read()
        kept.pop(key, None)
        kept[key] = value
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(msgspec.json.encode(dict(list(kept.items())[-_MAX_REMEMBERED:])))
            os.replace(temporary, self._path)
        except OSError as error:
            log.info("what was measured is not remembered: %s", error)
            with contextlib.suppress(OSError):
                temporary.unlink()

    def is_sound(self, value: T) -> bool:
        """Whether a value that was read can be used."""
        return True

    def _read(self) -> dict[str, T]:
        try:
            kept = msgspec.json.decode(self._path.read_bytes(), type=dict[str, self._kind])  # type: ignore[name-defined]  # a type at run time
        except (OSError, ValueError, RecursionError):
            return {}
        return {key: value for key, value in kept.items() if self.is_sound(value)}
