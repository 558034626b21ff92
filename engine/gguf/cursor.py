"""A place in a header from which it goes forward only, in bounded memory."""

from __future__ import annotations

import struct

from engine.errors import ModelFileError
from engine.gguf.source import HeaderSource

MAX_HEADER_BYTES = 24 * 2**20
"""The largest vocabularies (260,000 tokens and 510,000 merges) take about 15 MB."""
DOWNLOAD_AGAIN = "Download it again."

_CHUNK_BYTES = 2**18
_FORGET_BYTES = 2**18
_MOVE_BYTES = 2**16


class Cursor:
    """Keeps what it has read from the last item on, and no more than about a chunk that nobody has asked for."""

    def __init__(self, source: HeaderSource) -> None:
        self._source = source
        self._data = bytearray()
        self._start = 0
        self._position = 0

    @property
    def offset(self) -> int:
        """Where it stands in the file."""
        return self._start + self._position

    def peek(self, n_bytes: int) -> bytes:
        """The next bytes, or as many as there are."""
        n_bytes = min(n_bytes, self._source.size_bytes - self.offset)
        self.need(n_bytes)
        return bytes(self._data[self._position : self._position + n_bytes])

    def scalar(self, code: str) -> int | float | bool:
        """One number; ``code`` is struct's."""
        n_bytes = struct.calcsize("<" + code)
        self.need(n_bytes)
        value: int | float | bool = struct.unpack_from("<" + code, self._data, self._position)[0]
        self._position += n_bytes
        return value

    def count(self, code: str) -> int:
        return int(self.scalar(code))

    def take(self, n_bytes: int) -> bytes:
        self.need(n_bytes)
        start, self._position = self._position, self._position + n_bytes
        taken = bytes(memoryview(self._data)[start : self._position])
        self._forget()
        return taken

    def skip_strings(self, count: int, max_bytes: int) -> int | None:
        """How many bytes the next strings take, or None as soon as one is longer than ``max_bytes``."""
        self.need(count * 8)
        unpack, data, position = struct.Struct("<Q").unpack_from, self._data, self._position
        available = len(data)
        for _ in range(count):
            if position + 8 > available:
                self.need(position + 8 - self._position)
                available = len(data)
            (length,) = unpack(data, position)
            if length > max_bytes:
                return None
            position += 8 + length
        return position - self._position

    def take_block(self, n_bytes: int) -> bytes | bytearray:
        """The same as :meth:`take`, without a moment in which large bytes are there twice."""
        if n_bytes < _MOVE_BYTES:
            return self.take(n_bytes)
        self._drop(self._position)
        self.need(n_bytes)
        block, self._data = self._data, self._data[n_bytes:]
        del block[n_bytes:]
        self._start += n_bytes
        return block

    def need(self, n_bytes: int) -> None:
        """Have so many bytes from here on in memory. Raises ModelFileError, and NeedMore."""
        end = self._position + n_bytes
        if self._start + end > self._source.size_bytes:
            raise ModelFileError(
                f"{self._source.name} is incomplete: it ends within its header,"
                f" after {size_words(self._source.size_bytes)}.",
                DOWNLOAD_AGAIN,
            )
        if self._start + end > MAX_HEADER_BYTES:
            raise ModelFileError(
                f"{self._source.name} is damaged: its header is larger than {size_words(MAX_HEADER_BYTES)}.",
                DOWNLOAD_AGAIN,
            )
        if end > len(self._data):
            self._fill(end - len(self._data))

    def _fill(self, at_least: int) -> None:
        offset = self._start + len(self._data)
        at_most = min(max(at_least, _CHUNK_BYTES), self._source.size_bytes - offset)
        self._data += self._source.read(offset, at_least, at_most)

    def _forget(self) -> None:
        if self._position > _FORGET_BYTES:
            self._drop(self._position)

    def _drop(self, n_bytes: int) -> None:
        del self._data[:n_bytes]
        self._start += n_bytes
        self._position -= n_bytes


def size_words(n_bytes: int) -> str:
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.1f} {unit}" if n_bytes < 10 * scale else f"{n_bytes // scale:,} {unit}"
    return f"{n_bytes} bytes"
