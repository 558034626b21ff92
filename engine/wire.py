"""Commands and events as bytes: length-prefixed MessagePack frames over a pipe.

A frame is a little-endian unsigned 32-bit length followed by that many bytes of MessagePack. Decoding is typed, so a
frame that is not one of our structs is refused; nothing is ever unpickled.
"""

from __future__ import annotations

import struct
import threading
from typing import BinaryIO, Generic, TypeVar

import msgspec

from engine.commands import Command
from engine.errors import BugError
from engine.events import Event

MAX_FRAME_BYTES = 64 * 1024 * 1024
_LENGTH = struct.Struct("<I")

T = TypeVar("T")


class WireError(BugError):
    """The other side sent something that is not a frame of ours."""


class FrameWriter:
    """Writes whole frames. Thread: any; frames of several threads do not mix."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._encoder = msgspec.msgpack.Encoder()
        self._lock = threading.Lock()

    def write(self, message: Command | Event) -> None:
        """Raises OSError when the other side is gone."""
        body = self._encoder.encode(message)
        if len(body) > MAX_FRAME_BYTES:
            raise WireError(f"a frame of {len(body):,} bytes is too long")
        with self._lock:
            self._stream.write(_LENGTH.pack(len(body)) + body)
            self._stream.flush()


class FrameReader(Generic[T]):
    """Reads frames of one kind. Thread: one."""

    def __init__(self, stream: BinaryIO, kind: type[T]) -> None:
        self._stream = stream
        self._decoder = msgspec.msgpack.Decoder(kind)

    def read(self) -> T | None:
        """The next message, or None at the end of the pipe (also in the middle of a frame).

        Raises:
            WireError: the frame is too long or not of this kind.
        """
        head = self._read_exactly(_LENGTH.size)
        if head is None:
            return None
        (length,) = _LENGTH.unpack(head)
        if length > MAX_FRAME_BYTES:
            raise WireError(f"a frame claims {length:,} bytes")
        body = self._read_exactly(length)
        if body is None:
            return None
        try:
            return self._decoder.decode(body)
        except msgspec.DecodeError as error:
            raise WireError(f"a frame cannot be read: {error}") from error

    def _read_exactly(self, n_bytes: int) -> bytes | None:
        chunks: list[bytes] = []
        missing = n_bytes
        while missing:
            chunk = self._stream.read(missing)
            if not chunk:
                return None
            chunks.append(chunk)
            missing -= len(chunk)
        return b"".join(chunks)


def command_reader(stream: BinaryIO) -> FrameReader[Command]:
    return FrameReader(stream, Command)  # type: ignore[arg-type]  # a union is a type to msgspec, not to mypy


def event_reader(stream: BinaryIO) -> FrameReader[Event]:
    return FrameReader(stream, Event)  # type: ignore[arg-type]  # as above
