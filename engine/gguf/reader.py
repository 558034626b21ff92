"""Reads a GGUF header with a bound on everything that the file may claim.

Whatever the bytes are, it takes less than 64 MB of memory and less than two seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

from engine.errors import ModelFileError, ModelNotSupported
from engine.gguf.cursor import DOWNLOAD_AGAIN, Cursor, size_words
from engine.gguf.facts import GGML_TYPES, REMOVED_GGML_TYPES
from engine.gguf.header import SCALAR_FORMATS, SCALAR_SIZES, GgufArray, GgufHeader, GgufTensor, GgufValue, ValueKind
from engine.gguf.sniff import describe_foreign_file, quote
from engine.gguf.source import HeaderSource, open_source

MAX_PAIRS = 16_384
MAX_TENSORS = 32_768
MAX_KEY_BYTES = 65_535
MAX_STRING_BYTES = 4 * 2**20
MAX_TEXT_BYTES = 6 * 2**20
"""Of all names and texts of settings together: decoded, a letter can take four times as much."""
MAX_STRINGS = 2 * 2**20
"""Of one array, and of all arrays of strings together, since each string takes a step to find the next."""
MAX_ITEMS = 4 * 2**20
MAX_TENSOR_NAME_BYTES = 63
MAX_DIMENSIONS = 4
MAX_ELEMENTS = 2**63 - 1
DEFAULT_ALIGNMENT = 32
MAX_ALIGNMENT = 2**20

NEWER_ENGINE = "A newer version of Hearth may be able to load it."

_SNIFFED_BYTES = 4096


def read_header(path: Path, name: str | None = None) -> GgufHeader:
    """Read what comes before the weights, and check that the weights are all there.

    Any thread; blocks on the disk for the header only (some megabytes). Sentences call the file ``name`` where its own
    says nothing to a person. Raises ModelFileError.
    """
    with open_source(path) as source:
        if name is not None:
            source.name = name
        return _HeaderReader(path, source).read()


def read_header_from(source: HeaderSource) -> GgufHeader:
    """The same from wherever its bytes come. ``path`` of the header is the source's name.

    Raises ModelFileError, and NeedMore where the source has only the beginning of the header.
    """
    return _HeaderReader(Path(source.name), source).read()


def joined(headers: Sequence[GgufHeader]) -> GgufHeader:
    """One header for a model in parts: what the first says, with the tensors and the size of all.

    Offsets count from the start of the weights of the part that a tensor is in.
    """
    first = headers[0]
    tensors = tuple(tensor for header in headers for tensor in header.tensors)
    size_bytes = sum(header.size_bytes for header in headers)
    return GgufHeader(first.path, first.version, first.metadata, tensors, first.data_offset, size_bytes, first.title)


class _HeaderReader:
    """Reads one header, in the order in which it lies in the file."""

    def __init__(self, path: Path, source: HeaderSource) -> None:
        self._path = path
        self._name = source.name
        self._size_bytes = source.size_bytes
        self._cursor = Cursor(source)
        self._n_strings = 0
        self._n_text_bytes = 0

    def read(self) -> GgufHeader:
        version = self._read_magic()
        n_tensors, n_pairs = self._cursor.count("Q"), self._cursor.count("Q")
        if n_tensors > MAX_TENSORS or n_pairs > MAX_PAIRS:
            raise self._damaged(f"it announces {n_tensors:,} tensors and {n_pairs:,} settings")
        metadata = self._read_metadata(n_pairs)
        alignment = self._alignment(metadata)
        tensors = self._read_tensors(n_tensors, alignment)
        end = self._cursor.offset
        data_offset = end + -end % alignment if tensors else end
        self._check_data(tensors, data_offset)
        frozen = MappingProxyType(metadata)
        return GgufHeader(self._path, version, frozen, tensors, data_offset, self._size_bytes, self._name)

    def _read_magic(self) -> int:
        if self._size_bytes == 0:
            raise ModelFileError(f"{self._name} is empty.", DOWNLOAD_AGAIN)
        start = self._cursor.peek(_SNIFFED_BYTES)
        if not start.startswith(b"GGUF"):
            raise describe_foreign_file(self._name, start)
        self._cursor.take(4)
        version = self._cursor.count("I")
        if version & 0xFFFF == 0 and version:
            raise ModelNotSupported(
                f"{self._name} is made for big-endian machines, and this one is not.",
                "Look for the usual, little-endian file of this model.",
            )
        if version == 1:
            raise ModelNotSupported(
                f"{self._name} is a GGUF file of version 1, which is no longer supported.",
                "Look for a newer file of this model.",
            )
        if version not in (2, 3):
            raise ModelNotSupported(f"{self._name} is a GGUF file of version {version}, not 2 or 3.", NEWER_ENGINE)
        return version

    def _read_metadata(self, n_pairs: int) -> dict[str, GgufValue]:
        metadata: dict[str, GgufValue] = {}
        for _ in range(n_pairs):
            key = self._identifier("the name of a setting", MAX_KEY_BYTES)
            if not key or key in metadata:
                raise self._damaged(f"the setting {quote(key)} comes twice" if key else "a setting has no name")
            metadata[key] = self._value(key)
        return metadata

    def _value(self, key: str) -> GgufValue:
        kind = self._kind(key)
        if kind is ValueKind.ARRAY:
            return self._array(key)
        if kind is ValueKind.STRING:
            return self._text(key)
        return self._cursor.scalar(SCALAR_FORMATS[kind])

    def _text(self, key: str) -> str:
        return self._bytes(f"the setting {quote(key)}", MAX_STRING_BYTES).decode("utf-8", "replace")

    def _array(self, key: str) -> GgufArray:
        kind, count = self._kind(key), self._cursor.count("Q")
        if kind is ValueKind.ARRAY:
            raise self._damaged(f"the setting {quote(key)} is a list of lists")
        if count > MAX_ITEMS:
            raise self._damaged(f"the setting {quote(key)} is a list of {count:,} items")
        n_bytes = self._string_bytes(key, count) if kind is ValueKind.STRING else count * SCALAR_SIZES[kind]
        return GgufArray(kind, count, self._cursor.take_block(n_bytes))

    def _string_bytes(self, key: str, count: int) -> int:
        self._n_strings += count
        if self._n_strings > MAX_STRINGS:
            raise self._damaged(f"it holds more than {MAX_STRINGS:,} texts")
        n_bytes = self._cursor.skip_strings(count, MAX_STRING_BYTES)
        if n_bytes is None:
            raise self._damaged(f"a text in {quote(key)} is longer than {size_words(MAX_STRING_BYTES)}")
        return n_bytes

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
        name = self._identifier("the name of a tensor", MAX_TENSOR_NAME_BYTES)
        n_dimensions = self._cursor.count("I")
        if n_dimensions > MAX_DIMENSIONS:
            raise self._damaged(f"the tensor {quote(name)} has {n_dimensions:,} dimensions")
        shape = tuple(self._cursor.count("Q") for _ in range(n_dimensions))
        number, offset = self._cursor.count("I"), self._cursor.count("Q")
        if number in REMOVED_GGML_TYPES:
            raise ModelNotSupported(
                f"{self._name} is quantized in a way that is no longer supported (tensor type {number}).",
                "Look for a newer file of this model, for example in Q4_0 or Q4_K_M.",
            )
        if (tensor_type := GGML_TYPES.get(number)) is None:
            raise ModelNotSupported(f"{self._name} uses the unknown tensor type {number:,}.", NEWER_ENGINE)
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
                f"{self._name} is incomplete: {_part_of(self._size_bytes, needed)} are here.", DOWNLOAD_AGAIN
            )

    def _kind(self, key: str) -> ValueKind:
        number = self._cursor.count("I")
        if number > max(ValueKind):
            raise self._damaged(f"the setting {quote(key)} has the unknown type {number:,}")
        return ValueKind(number)

    def _identifier(self, what: str, max_bytes: int) -> str:
        try:
            return self._bytes(what, max_bytes).decode()
        except UnicodeDecodeError:
            raise self._damaged(f"{what} is not text") from None

    def _bytes(self, what: str, max_bytes: int) -> bytes:
        length = self._cursor.count("Q")
        if length > max_bytes:
            raise self._damaged(f"{what} is {length:,} bytes long")
        self._n_text_bytes += length
        if self._n_text_bytes > MAX_TEXT_BYTES:
            raise self._damaged(f"its texts are longer than {size_words(MAX_TEXT_BYTES)}")
        return self._cursor.take(length)

    def _damaged(self, what: str) -> ModelFileError:
        return ModelFileError(f"{self._name} is damaged: {what}.", DOWNLOAD_AGAIN)


def _part_of(here: int, total: int) -> str:
    """Such as "61 of 98 MB", in the largest unit that shows a difference."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if total >= 10 * scale and here // scale < total // scale:
            return f"{here // scale:,} of {total // scale:,} {unit}"
    return f"{here:,} of {total:,} bytes"
