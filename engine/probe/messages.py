"""What passes between the two sides: length-prefixed MessagePack, as with a worker."""

from __future__ import annotations

import struct
from typing import BinaryIO, TypeVar

import msgspec

from engine.errors import ErrorInfo
from engine.gguf.summary import HeaderSummary

_LENGTH = struct.Struct("<I")
_MAX_BYTES = 2**20

T = TypeVar("T")


class Question(msgspec.Struct, frozen=True):
    """``is_part`` is for a later part of a model, which nothing loads by itself. ``by_llama``: llama.cpp looks, too."""

    path: str
    name: str
    is_part: bool = False
    by_llama: bool = False


class Answer(msgspec.Struct, frozen=True):
    """Exactly one of the two is there."""

    summary: HeaderSummary | None = None
    problem: ErrorInfo | None = None


def write_message(stream: BinaryIO, message: Question | Answer) -> None:
    """Raises OSError where the other side is gone."""
    body = msgspec.msgpack.encode(message)
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def read_message(stream: BinaryIO, kind: type[T]) -> T | None:
    """None where the other side has ended, or says what is none of ours."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size or (length := _LENGTH.unpack(head)[0]) > _MAX_BYTES:
        return None
    try:
        return msgspec.msgpack.decode(stream.read(length), type=kind)
    except msgspec.DecodeError:
        return None
