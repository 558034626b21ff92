"""Everything that a file says about the model in it, in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice

from app.library.types import ModelEntry
from engine.gguf import GgufArray, GgufValue, read_header

_MAX_TEXT = 2_000
_MAX_ITEMS = 8
_TEMPLATE_KEY = "tokenizer.chat_template"


@dataclass(frozen=True, slots=True)
class TensorType:
    """How many tensors are stored in which way."""

    name: str
    n_tensors: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """``metadata`` is what the first file says, in its order, each value as one text. All texts are a stranger's."""

    entry: ModelEntry
    template: str | None
    metadata: tuple[tuple[str, str], ...]
    tensor_types: tuple[TensorType, ...]


def details_of(entry: ModelEntry) -> ModelDetails:
    """Reads the headers of all its files. Raises ModelFileError."""
    headers = [read_header(part) for part in entry.parts or (entry.path,)]
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for header in headers:
        for tensor in header.tensors:
            counts[tensor.type.name] += 1
            sizes[tensor.type.name] += tensor.size_bytes
    first = headers[0]
    metadata = tuple((key, _words(value)) for key, value in first.metadata.items() if key != _TEMPLATE_KEY)
    types = tuple(TensorType(name, counts[name], size) for name, size in sizes.most_common())
    return ModelDetails(entry, first.chat_template, metadata, types)


def _words(value: GgufValue) -> str:
    if isinstance(value, GgufArray):
        if len(value) > _MAX_ITEMS:
            return f"{len(value):,} items"
        return ", ".join(_words(item) for item in islice(value, _MAX_ITEMS))
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)[:_MAX_TEXT]
