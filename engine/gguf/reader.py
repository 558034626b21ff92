"""Reads a GGUF header with a bound on everything that the file may claim.

Plain reads, no memory map: a mapped file that shrinks (a stick that is pulled out) would end the process.
"""

from __future__ import annotations

import math
import os
import stat
import struct
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from engine.errors import ModelFileError
from engine.gguf.facts import GGML_TYPES, REMOVED_GGML_TYPES
from engine.gguf.header import SCALAR_FORMATS, GgufArray, GgufHeader, GgufTensor, GgufValue, ValueKind
from engine.gguf.sniff import describe_foreign_file, quote

MAX_PAIRS = 65_536
MAX_TENSORS = 131_072
MAX_KEY_BYTES = 65_535
MAX_STRING_BYTES = 4 * 2**20
MAX_STRINGS = 4 * 2**20
"""Of one array, and of all arrays of strings together, since each string takes a step to find the next."""
MAX_ITEMS = 4 * 2**20
MAX_HEADER_BYTES = 256 * 2**20
MAX_TENSOR_NAME_BYTES = 63
MAX_DIMENSIONS = 4
MAX_ELEMENTS = 2**63 - 1
DEFAULT_ALIGNMENT = 32
MAX_ALIGNMENT = 2**20

DOWNLOAD_AGAIN = "Download it again."
NEWER_ENGINE = "A newer version of Hearth may be able to load it."

_CHUNK_BYTES = 2**20


def read_header(path: Path) -> GgufHeader:
    """Read what comes before the weights, and check that the weights are all there.

    Any thread; blocks on the disk for the header only (some megabytes). Raises ModelFileError.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise ModelFileError(f"{path.name or path} is {kind}, not a model.", "Pick a file that ends in .gguf.")
        with path.open("rb", buffering=0) as file:
            return _HeaderReader(path, file, os.fstat(file.fileno()).st_size).read()
    except FileNotFoundError:
        raise ModelFileError(f"{path.name} is not there any more.", "It was moved, renamed or deleted.") from None
    except PermissionError:
        raise ModelFileError(
            f"You do not have permission to read {path.name}.", "Change the permissions of the file or its folder."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have, as with a NUL in it
        reason = getattr(error, "strerror", None) or "its path is not valid"
        raise ModelFileError(
            f"{quote(path.name)} cannot be read: {reason}.", "Check the disk that it is on."
        ) from error


class _HeaderReader:
    """A cursor over the header's bytes, which it reads from the file as far as it must."""

    def __init__(self, path: Path, file: BinaryIO, size_bytes: int) -> None:
        self._path = path
        self._file = file
        self._size_bytes = size_bytes
        self._data = bytearray()
        self._position = 0
        self._n_strings = 0

    def read(self) -> GgufHeader:
        version = self._read_magic()
        n_tensors, n_pairs = self._scalar("Q"), self._scalar("Q")
        if n_tensors > MAX_TENSORS or n_pairs > MAX_PAIRS:
            raise self._damaged(f"it announces {n_tensors:,} tensors and {n_pairs:,} settings")
        metadata = self._read_metadata(n_pairs)
        alignment = self._alignment(metadata)
        tensors = self._read_tensors(n_tensors, alignment)
        data_offset = self._position + -self._position % alignment if tensors else self._position
        self._check_data(tensors, data_offset)
        frozen = MappingProxyType(metadata)
        return GgufHeader(self._path, version, frozen, tensors, data_offset, self._size_bytes)

    def _read_magic(self) -> int:
        if self._size_bytes == 0:
            raise ModelFileError(f"{self._path.name} is empty.", DOWNLOAD_AGAIN)
        self._fill(min(self._size_bytes, _CHUNK_BYTES))
        if not self._data.startswith(b"GGUF"):
            raise describe_foreign_file(self._path.name, bytes(self._data[:4096]))
        self._position = 4
        version = self._scalar("I")
        if version & 0xFFFF == 0 and version:
            raise ModelFileError(
                f"{self._path.name} is made for big-endian machines, and this one is not.",
                "Look for the usual, little-endian file of this model.",
            )
        if version == 1:
            raise ModelFileError(
                f"{self._path.name} is a GGUF file of version 1, which is no longer supported.",
                "Look for a newer file of this model.",
            )
        if version not in (2, 3):
            raise ModelFileError(f"{self._path.name} is a GGUF file of version {version}, not 2 or 3.", NEWER_ENGINE)
        return version

    def _read_metadata(self, n_pairs: int) -> dict[str, GgufValue]:
        metadata: dict[str, GgufValue] = {}
        for _ in range(n_pairs):
            key = self._name("the name of a setting", MAX_KEY_BYTES)
            if not key or key in metadata:
                raise self._damaged(f"the setting {quote(key)} comes twice" if key else "a setting has no name")
            metadata[key] = self._value(key)
        return metadata

    def _value(self, key: str) -> GgufValue:
        kind = self._kind(key)
        if kind is ValueKind.ARRAY:
            return self._array(key)
        if kind is ValueKind.STRING:
            return self._bytes(f"the setting {quote(key)}", MAX_STRING_BYTES).decode("utf-8", "replace")
        return self._scalar_value(kind)

    def _array(self, key: str) -> GgufArray:
        kind, count = self._kind(key), self._scalar("Q")
        if kind is ValueKind.ARRAY:
            raise self._damaged(f"the setting {quote(key)} is a list of lists")
        if count > MAX_ITEMS:
            raise self._damaged(f"the setting {quote(key)} is a list of {count:,} items")
        start = self._position
        if kind is ValueKind.STRING:
            self._skip_strings(key, count)
        else:
            self._advance(count * struct.calcsize("<" + SCALAR_FORMATS[kind]))
        return GgufArray(kind, count, bytes(memoryview(self._data)[start : self._position]))

    def _skip_strings(self, key: str, count: int) -> None:
        self._n_strings += count
        if self._n_strings > MAX_STRINGS:
            raise self._damaged(f"it holds more than {MAX_STRINGS:,} texts")
        self._need(count * 8)
        unpack, data, position = struct.Struct("<Q").unpack_from, self._data, self._position
        available = len(data)
        for _ in range(count):
            if position + 8 > available:
                self._position = position
                self._need(8)
                available = len(data)
            (length,) = unpack(data, position)
            if length > MAX_STRING_BYTES:
                raise self._damaged(f"a text in {quote(key)} is {length:,} bytes long")
            position += 8 + length
        self._position = min(position, available)
        self._advance(position - self._position)

    def _alignment(self, metadata: dict[str, GgufValue]) -> int:
        alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
        if isinstance(alignment, int) and 0 < alignment <= MAX_ALIGNMENT and alignment & (alignment - 1) == 0:
            return int(alignment)
        raise self._damaged(f"its alignment is {alignment if isinstance(alignment, int) else 'not a number'}")

    def _read_tensors(self, n_tensors: int, alignment: int) -> tuple[GgufTensor, ...]:
        tensors: dict[str, GgufTensor] = {}
        expected_offset = 0
        for _ in range(n_tensors):
            tensor = self._tensor()
            if tensor.name in tensors:
                raise self._damaged(f"the tensor {quote(tensor.name)} comes twice")
            if tensor.offset != expected_offset:
                raise self._damaged(f"the tensor {quote(tensor.name)} is not where it should be")
            expected_offset += tensor.size_bytes + -tensor.size_bytes % alignment
            tensors[tensor.name] = tensor
        return tuple(tensors.values())

    def _tensor(self) -> GgufTensor:
        name = self._name("the name of a tensor", MAX_TENSOR_NAME_BYTES)
        n_dimensions = self._scalar("I")
        if n_dimensions > MAX_DIMENSIONS:
            raise self._damaged(f"the tensor {quote(name)} has {n_dimensions:,} dimensions")
        shape = tuple(self._scalar("Q") for _ in range(n_dimensions))
        number, offset = self._scalar("I"), self._scalar("Q")
        if number in REMOVED_GGML_TYPES:
            raise ModelFileError(
                f"{self._path.name} is quantized in a way that is no longer supported (tensor type {number}).",
                "Look for a newer file of this model, for example in Q4_0 or Q4_K_M.",
            )
        if (tensor_type := GGML_TYPES.get(number)) is None:
            raise ModelFileError(f"{self._path.name} uses the unknown tensor type {number:,}.", NEWER_ENGINE)
        n_elements = math.prod(shape)
        row_length = shape[0] if shape else 1
        if n_elements > MAX_ELEMENTS or any(extent > MAX_ELEMENTS for extent in shape):
            raise self._damaged(f"the tensor {quote(name)} has {n_elements:,} elements")
        if row_length % tensor_type.block_size:
            raise self._damaged(f"the rows of the tensor {quote(name)} do not fit its type {tensor_type.name}")
        size_bytes = n_elements // tensor_type.block_size * tensor_type.block_bytes
        return GgufTensor(name, shape, tensor_type, offset, n_elements, size_bytes)

    def _check_data(self, tensors: tuple[GgufTensor, ...], data_offset: int) -> None:
        needed = data_offset + tensors[-1].offset + tensors[-1].size_bytes if tensors else data_offset
        if needed > self._size_bytes:
            raise ModelFileError(
                f"{self._path.name} is incomplete: {_part_of(self._size_bytes, needed)} are here.", DOWNLOAD_AGAIN
            )

    def _kind(self, key: str) -> ValueKind:
        number = self._scalar("I")
        if number > max(ValueKind):
            raise self._damaged(f"the setting {quote(key)} has the unknown type {number:,}")
        return ValueKind(number)

    def _scalar_value(self, kind: ValueKind) -> int | float | bool:
        code = SCALAR_FORMATS[kind]
        start = self._position
        self._advance(struct.calcsize("<" + code))
        value: int | float | bool = struct.unpack_from("<" + code, self._data, start)[0]
        return value

    def _scalar(self, code: str) -> int:
        start = self._position
        self._advance(struct.calcsize("<" + code))
        value: int = struct.unpack_from("<" + code, self._data, start)[0]
        return value

    def _name(self, what: str, max_bytes: int) -> str:
        try:
            return self._bytes(what, max_bytes).decode()
        except UnicodeDecodeError:
            raise self._damaged(f"{what} is not text") from None

    def _bytes(self, what: str, max_bytes: int) -> bytes:
        length = self._scalar("Q")
        if length > max_bytes:
            raise self._damaged(f"{what} is {length:,} bytes long")
        start = self._position
        self._advance(length)
        return bytes(self._data[start : self._position])

    def _advance(self, n_bytes: int) -> None:
        self._need(n_bytes)
        self._position += n_bytes

    def _need(self, n_bytes: int) -> None:
        """Make sure that so many bytes from the cursor on are in memory."""
        end = self._position + n_bytes
        if end > self._size_bytes:
            raise ModelFileError(
                f"{self._path.name} is incomplete: it ends within its header, after {_size(self._size_bytes)}.",
                DOWNLOAD_AGAIN,
            )
        if end > MAX_HEADER_BYTES:
            raise self._damaged(f"its header is larger than {_size(MAX_HEADER_BYTES)}")
        if end > len(self._data):
            self._fill(min(self._size_bytes, max(end, len(self._data) + _CHUNK_BYTES)))

    def _fill(self, end: int) -> None:
        while len(self._data) < end:
            chunk = self._file.read(end - len(self._data))
            if not chunk:
                raise ModelFileError(f"{self._path.name} became shorter while it was read.", "Try again.")
            self._data += chunk

    def _damaged(self, what: str) -> ModelFileError:
        return ModelFileError(f"{self._path.name} is damaged: {what}.", DOWNLOAD_AGAIN)


def _size(n_bytes: int) -> str:
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.1f} {unit}" if n_bytes < 10 * scale else f"{n_bytes // scale:,} {unit}"
    return f"{n_bytes} bytes"


def _part_of(here: int, total: int) -> str:
    """Such as "61 of 98 MB", in the largest unit that shows a difference."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if total >= 10 * scale and here // scale < total // scale:
            return f"{here // scale:,} of {total // scale:,} {unit}"
    return f"{here:,} of {total:,} bytes"
