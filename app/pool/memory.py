"""How much memory a model takes, and how much there is."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import psutil
from msgspec.structs import replace

from app.library import ModelEntry
from engine.config import CacheConfig, DraftConfig, EngineConfig, LoadSpec
from engine.gguf import GgufArray, GgufHeader, read_header

_USUAL_N_CTX = 8192
"""What the engine takes where nobody chose, if the model was trained for as much (engine.backend.llama)."""

_CELL_BYTES = 2
"""Keys and values are 16 bits each."""

_MARGIN_BYTES = 256 << 20
"""Compute buffers, logits, and the process itself."""


_MOST_LAYERS = 4096
"""More numbers than that are no list of layers."""


@dataclass(frozen=True, slots=True)
class Weight:
    """``identity`` is another one as soon as the file is."""

    needed_bytes: int
    identity: tuple[int, int]


class Machine(Protocol):
    """Thread: any. Both methods may block on the disk."""

    def weigh(self, entry: ModelEntry, config: EngineConfig) -> Weight:
        """Raises ModelFileError."""

    def free_bytes(self) -> int:
        """What a further model may take without costing those that are loaded anything."""


def spec_for_clients(entry: ModelEntry, config: EngineConfig, cache: CacheConfig, drafting: DraftConfig) -> LoadSpec:
    """How a model is loaded that is not the window's: it may remember a quarter as much in RAM, and drafts alone."""
    alone = replace(drafting, model=None)
    kept = replace(cache, ram_bytes=cache.ram_bytes // 4)
    return LoadSpec(str(entry.path), config, kept, alone, name=entry.load_name)


class SystemMemory:
    """The machine in front of us."""

    def weigh(self, entry: ModelEntry, config: EngineConfig) -> Weight:
        header = read_header(entry.path)
        return Weight(memory_needed(entry, header, config), _identity(entry.path))

    def free_bytes(self) -> int:
        """What the system calls available, less what our workers have mapped of their model files.

        The system would take these pages back at any time, and a model that has to read its weights from the disk for
        each token is of no use.
        """
        return max(0, psutil.virtual_memory().available - _mapped_bytes())


def memory_needed(entry: ModelEntry, header: GgufHeader, config: EngineConfig) -> int:
    """Weights, KV cache for the whole context, and a margin, in bytes. ``header`` is that of the entry's first file."""
    n_ctx = config.n_ctx or _USUAL_N_CTX
    if header.n_ctx_train > 0:
        n_ctx = min(n_ctx, header.n_ctx_train)
    return entry.size_bytes + n_ctx * kv_bytes_per_token(header) + _MARGIN_BYTES


def kv_bytes_per_token(header: GgufHeader) -> int:
    """Of all layers. 0 where the header has no attention to speak of."""
    n_heads = max(_counts(header, "attention.head_count"), default=0)
    n_embd = max(_counts(header, "embedding_length"), default=0)
    usual_length = n_embd // n_heads if n_heads else 0
    n_key = max(_counts(header, "attention.key_length"), default=usual_length)
    n_value = max(_counts(header, "attention.value_length"), default=usual_length)
    kv_heads = _counts(header, "attention.head_count_kv") or _counts(header, "attention.head_count")
    n_kv_heads = sum(kv_heads) if len(kv_heads) > 1 else sum(kv_heads) * header.n_layers
    return n_kv_heads * (n_key + n_value) * _CELL_BYTES


def _counts(header: GgufHeader, key: str) -> list[int]:
    """A number, or one for each layer; empty where the header does not say."""
    value = header.metadata.get(f"{header.architecture}.{key}")
    values = list(islice(value, _MOST_LAYERS)) if isinstance(value, GgufArray) else [value]
    return [number for number in values if isinstance(number, int) and not isinstance(number, bool) and number >= 0]


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:  # it is gone since its header was read
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _mapped_bytes() -> int:
    """Pages of files that our child processes have in memory. Only Linux counts them as available."""
    if sys.platform != "linux":
        return 0
    return sum(map(_file_bytes, psutil.Process().children()))


def _file_bytes(process: psutil.Process) -> int:
    try:
        shared: int = process.memory_info().shared
    except psutil.Error:  # it has ended meanwhile
        return 0
    return shared
