from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.library import Library, ModelEntry
from app.paths import Paths
from app.pool import SystemMemory, spec_for_clients
from app.pool.memory import kv_bytes_per_token, memory_needed
from engine.config import CacheConfig, DraftConfig, DraftMode, EngineConfig
from engine.errors import ModelFileError
from engine.gguf import read_header
from tests.doubles.gguf import N_EMBD, N_HEAD, N_HEAD_KV, N_LAYER, Typed, make_tiny_gguf

LENGTH = N_EMBD // N_HEAD
A_TOKEN = N_LAYER * N_HEAD_KV * 2 * LENGTH * 2


@pytest.fixture
def tiny(tmp_path: Path) -> ModelEntry:
    paths = Paths.below(tmp_path)
    paths.ensure()
    make_tiny_gguf(paths.models / "tiny.gguf")
    (entry,) = Library(paths).entries()
    return entry


def needed(entry: ModelEntry, n_ctx: int | None) -> int:
    return memory_needed(entry, read_header(entry.path), EngineConfig(n_ctx=n_ctx))


def test_a_longer_context_needs_more_by_its_keys_and_values(tiny: ModelEntry) -> None:
    assert needed(tiny, 2048) - needed(tiny, 1024) == 1024 * A_TOKEN
    assert needed(tiny, 1024) > tiny.size_bytes + 1024 * A_TOKEN


def test_no_context_is_longer_than_the_model_was_trained_for(tiny: ModelEntry) -> None:
    assert needed(tiny, None) == needed(tiny, 1_000_000) == needed(tiny, tiny.n_ctx_train)


@pytest.mark.parametrize(
    ("metadata", "bytes_per_token"),
    [
        ({"llama.attention.head_count_kv": None}, N_LAYER * N_HEAD * 2 * LENGTH * 2),
        ({"llama.attention.head_count_kv": Typed("arr:u32", [4, 0])}, 4 * 2 * LENGTH * 2),
        ({"llama.attention.key_length": 100, "llama.attention.value_length": 20}, N_LAYER * N_HEAD_KV * 120 * 2),
        ({"llama.attention.head_count": None, "llama.attention.head_count_kv": None}, 0),
    ],
)
def test_keys_and_values_are_counted_as_the_header_has_them(
    tmp_path: Path, metadata: dict[str, Typed | None], bytes_per_token: int
) -> None:
    path = make_tiny_gguf(tmp_path / "other.gguf", metadata=metadata)
    assert kv_bytes_per_token(read_header(path)) == bytes_per_token


def test_a_file_that_was_replaced_is_another_one(tiny: ModelEntry) -> None:
    before = SystemMemory().weigh(tiny, EngineConfig())
    assert SystemMemory().weigh(tiny, EngineConfig()) == before
    os.utime(tiny.path, ns=(1, 1))
    after = SystemMemory().weigh(tiny, EngineConfig())
    assert after.identity != before.identity
    assert after.needed_bytes == before.needed_bytes


def test_a_file_that_is_gone_is_told(tiny: ModelEntry) -> None:
    tiny.path.unlink()
    with pytest.raises(ModelFileError):
        SystemMemory().weigh(tiny, EngineConfig())


def test_there_is_some_memory_but_not_without_end() -> None:
    assert 0 <= SystemMemory().free_bytes() < 1 << 60


def test_models_for_clients_remember_less_in_ram(tiny: ModelEntry) -> None:
    drafting = DraftConfig(DraftMode.FIXED, "small.gguf")
    spec = spec_for_clients(tiny, EngineConfig(n_ctx=512), CacheConfig(4000, 5000, "/pages"), drafting)
    assert (spec.path, spec.config.n_ctx) == (str(tiny.path), 512)
    assert spec.cache == CacheConfig(1000, 5000, "/pages")
    assert spec.drafting == DraftConfig(DraftMode.FIXED)
