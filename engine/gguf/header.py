"""The header of a GGUF file as values."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from engine.gguf.facts import FILE_TYPE_GUESSED, FILE_TYPES, GgmlType


class ValueKind(IntEnum):
    """Type numbers of metadata values in the file."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


SCALAR_FORMATS: dict[ValueKind, str] = {
    ValueKind.UINT8: "B",
    ValueKind.INT8: "b",
    ValueKind.UINT16: "H",
    ValueKind.INT16: "h",
    ValueKind.UINT32: "I",
    ValueKind.INT32: "i",
    ValueKind.FLOAT32: "f",
    ValueKind.BOOL: "?",
    ValueKind.UINT64: "Q",
    ValueKind.INT64: "q",
    ValueKind.FLOAT64: "d",
}
"""struct codes, all little endian in the file."""

SCALAR_SIZES: dict[ValueKind, int] = {kind: struct.calcsize("<" + code) for kind, code in SCALAR_FORMATS.items()}
"""In bytes."""


@dataclass(frozen=True, slots=True)
class GgufArray:
    """An array as it lies in the file; its lengths are checked, its items are decoded only when asked for.

    A vocabulary of 150,000 tokens therefore costs a few megabytes and not 150,000 objects.
    """

    kind: ValueKind
    count: int
    data: bytes | bytearray

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int | float | bool | str]:
        if self.kind is ValueKind.STRING:
            return (text.decode("utf-8", "replace") for text in self.raw_strings())
        return (value for (value,) in struct.iter_unpack("<" + SCALAR_FORMATS[self.kind], self.data))

    def raw_strings(self) -> Iterator[bytes]:
        """The bytes of each string. Only for arrays of strings."""
        data, position, unpack = self.data, 0, struct.Struct("<Q").unpack_from
        for _ in range(self.count):
            start = position + 8
            position = start + unpack(data, position)[0]
            yield bytes(data[start:position])


GgufValue = int | float | bool | str | GgufArray


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One tensor. ``shape`` has the row length first; ``offset`` counts bytes from the start of the data."""

    name: str
    shape: tuple[int, ...]
    type: GgmlType
    offset: int
    n_elements: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """Everything before the weights. Tensors are in file order; ``data_offset`` is where the weights begin.

    ``title`` is what sentences call the file, where its own name says nothing to a person.
    """

    path: Path
    version: int
    metadata: Mapping[str, GgufValue]
    tensors: tuple[GgufTensor, ...]
    data_offset: int
    size_bytes: int
    title: str = ""

    def __repr__(self) -> str:
        return f"GgufHeader({self.path.name!r}, {self.architecture!r}, {len(self.tensors)} tensors)"

    @property
    def file_name(self) -> str:
        """For sentences."""
        return self.title or self.path.name

    @property
    def architecture(self) -> str:
        """For example "llama"; empty if the file does not say."""
        return self._text("general.architecture")

    @property
    def name(self) -> str:
        """The name that the model's maker gave it, else the file's name without its ending."""
        return self._text("general.name").strip() or self.path.stem

    @property
    def quantization(self) -> str:
        """As in file names ("Q4_K_M"): what the file says, else the type of most bytes; empty without weights."""
        declared = self.metadata.get("general.file_type")
        if isinstance(declared, int) and (known := FILE_TYPES.get(declared & ~FILE_TYPE_GUESSED)):
            return known
        sizes: Counter[str] = Counter()
        for tensor in self.tensors:
            sizes[tensor.type.name] += tensor.size_bytes
        return sizes.most_common(1)[0][0] if sizes else ""

    @property
    def n_params(self) -> int:
        """Numbers in this file's tensors (of a split model: in this part)."""
        return sum(tensor.n_elements for tensor in self.tensors)

    @property
    def n_layers(self) -> int:
        """0 if the file does not say."""
        return self._count(f"{self.architecture}.block_count")

    @property
    def n_ctx_train(self) -> int:
        """The context length that the model was trained for, in tokens; 0 if the file does not say."""
        return self._count(f"{self.architecture}.context_length")

    @property
    def chat_template(self) -> str | None:
        """The source of the model's Jinja template. A stranger's program: see ``engine.prompt``."""
        return self._text("tokenizer.chat_template") or None

    def _text(self, key: str) -> str:
        value = self.metadata.get(key)
        return value if isinstance(value, str) else ""

    def _count(self, key: str) -> int:
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
