"""Numbers out of a header's metadata, as llama.cpp reads them: one for all layers, or one for each."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from engine.gguf.header import GgufArray, GgufHeader, GgufValue

_MOST_LAYERS = 4096
"""More numbers than that are no list of layers."""


class Metadata:
    """The keys below a header's architecture. What a stranger wrote is bounded, and read as if it were not there where
    it is not what it should be."""

    def __init__(self, header: GgufHeader) -> None:
        self.architecture = header.architecture
        self._values: Mapping[str, GgufValue] = header.metadata

    def count(self, key: str, default: int = 0) -> int:
        """A number, of a list its largest."""
        return max(self._numbers(key), default=default)

    def has(self, key: str) -> bool:
        return bool(self._numbers(key))

    def per_layer(self, key: str, n_layers: int, default: int = 0) -> tuple[int, ...]:
        """A number for each layer: the list, or the one number as often as it takes."""
        numbers = self._numbers(key)
        if not self._is_list(key):
            return (numbers[0] if numbers else default,) * n_layers
        return tuple(numbers[:n_layers]) + (default,) * (n_layers - len(numbers))

    def flags(self, key: str, n_layers: int) -> tuple[bool, ...] | None:
        """A list with one for each layer; None where the header has no list."""
        if not self._is_list(key):
            return None
        return tuple(number != 0 for number in self.per_layer(key, n_layers))

    def length(self, key: str) -> int:
        """How many items the list of that full name has."""
        value = self._values.get(key)
        return len(value) if isinstance(value, GgufArray) else 0

    def _is_list(self, key: str) -> bool:
        return isinstance(self._values.get(f"{self.architecture}.{key}"), GgufArray)

    def _numbers(self, key: str) -> list[int]:
        value = self._values.get(f"{self.architecture}.{key}")
        values = list(islice(value, _MOST_LAYERS)) if isinstance(value, GgufArray) else [value]
        return [int(number) for number in values if isinstance(number, int) and number >= 0]
