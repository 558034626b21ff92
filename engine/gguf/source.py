"""Where the bytes of a header come from: a file here, or as much as has arrived of one elsewhere."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from engine.errors import ModelFileError

_FIRST_BYTES = 2**20


class NeedMore(Exception):
    """The header goes on beyond what has arrived; it is read again from its start once there is more.

    ``n_bytes`` is how long the beginning should be then: at least twice as long, so that few tries are needed, and
    never longer than the file.
    """

    def __init__(self, n_bytes: int) -> None:
        super().__init__(f"{n_bytes:,} bytes are needed")
        self.n_bytes = n_bytes


class HeaderSource(Protocol):
    """``name`` stands in sentences; ``size_bytes`` is that of the whole file, whatever there is of it."""

    @property
    def name(self) -> str: ...

    @property
    def size_bytes(self) -> int: ...

    def read(self, offset: int, at_least: int, at_most: int) -> bytes:
        """Between so many bytes from ``offset`` on; never asked for what lies beyond the file's end.

        Raises NeedMore where they have not arrived, and ModelFileError.
        """


class PrefixSource:
    """The beginning of a file that is elsewhere. Thread: one at a time."""

    def __init__(self, name: str, size_bytes: int, data: bytes = b"") -> None:
        self.name = name
        self.size_bytes = size_bytes
        self._data = bytearray(data)

    def __len__(self) -> int:
        return len(self._data)

    def extend(self, data: bytes) -> None:
        """What follows what is there."""
        self._data += data

    def read(self, offset: int, at_least: int, at_most: int) -> bytes:
        if offset + at_least > len(self._data):
            wished = max(offset + at_least, 2 * len(self._data), _FIRST_BYTES)
            raise NeedMore(min(wished, self.size_bytes))
        return bytes(self._data[offset : offset + at_most])


class FileSource:
    """A file here. Plain reads, no memory map: a mapped file that shrinks would end the process."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.name = path.name
        self.size_bytes = os.fstat(file.fileno()).st_size
        self._file = file

    def read(self, offset: int, at_least: int, at_most: int) -> bytes:
        self._file.seek(offset)
        data = self._file.read(at_most)
        while len(data) < at_least:
            more = self._file.read(at_most - len(data))
            if not more:
                raise ModelFileError(f"{self.name} became shorter while it was read.", "Try again.")
            data += more
        return data


@contextmanager
def open_source(path: Path) -> Iterator[FileSource]:
    """Raises ModelFileError for what cannot be opened, and for what the disk refuses within."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise ModelFileError(f"{path.name or path} is {kind}, not a model.", "Pick a file that ends in .gguf.")
        with path.open("rb", buffering=0) as file:
            yield FileSource(path, file)
    except FileNotFoundError:
        raise ModelFileError(f"{path.name} is not there any more.", "It was moved, renamed or deleted.") from None
    except PermissionError:
        raise ModelFileError(
            f"You do not have permission to read {path.name}.", "Change the permissions of the file or its folder."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have, as with a NUL in it
        reason = getattr(error, "strerror", None) or "its path is not valid"
        shown = repr(path.name if len(path.name) <= 60 else path.name[:57] + "...")
        raise ModelFileError(f"{shown} cannot be read: {reason}.", "Check the disk that it is on.") from error
