"""Compute buffers beside what llama.cpp reserved: on an H200, and in dry runs of its own over the same headers."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.plan import Corrections, KvType, ModelShape, Wishes
from engine.plan.buffers import gpu_buffer, host_buffer, pipeline_bytes
from engine.plan.cache import CacheSettings
from engine.plan.placement import Room
from tests.doubles.machines import MIB, cpu, gpu, shape_of

MEASURED_ON_H200 = (
    ("llama-1b", 17, 4096, "f16", True, 64.0),
    ("llama-1b", 17, 131_072, "f16", True, 188.0),
    ("llama-1b", 17, 131_072, "q8_0", True, 400.0),
    ("llama-1b", 17, 32_768, "f16", False, 2130.0),
    ("llama-1b", 8, 32_768, "f16", True, 146.3),
    ("llama-1b", 8, 131_072, "f16", True, 530.3),
    ("llama-1b", 8, 131_072, "q8_0", True, 604.6),
    ("llama-8b", 33, 4096, "f16", True, 112.0),
    ("llama-8b", 33, 131_072, "f16", True, 236.0),
    ("llama-8b", 33, 131_072, "q8_0", True, 672.1),
    ("llama-8b", 33, 4096, "f16", False, 300.0),
    ("llama-8b", 16, 4096, "f16", True, 131.5),
    ("llama-8b", 16, 131_072, "q8_0", True, 1088.1),
    ("llama-8b", 16, 131_072, "f16", False, 9240.0),
)
"""Model, layers on the GPU, context, cache, flash attention, MiB. One sequence, batches of 512."""

RESERVED = {
    "llama-70b": 231.0,
    "qwen3-14b": 144.4,
    "qwen3-30b-a3b": 94.9,
    "gemma2-9b": 125.8,
    "gemma3-4b": 92.8,
    "gemma3-27b": 176.4,
    "gpt-oss-20b": 106.0,
    "cohere2-7b": 136.1,
    "deepseek-v2-lite": 86.8,
    "deepseek-v3": 398.1,
}
"""MiB of a GPU that has all layers, for 8,192 tokens and 33 sequences."""


def _settings(shape: ModelShape, n_ctx: int, kv_type: str, n_sequences: int, *, flash: bool = True) -> CacheSettings:
    made = CacheSettings.of(shape, Wishes(), n_ctx, KvType(kv_type), flash_attention=flash, swa_full=True)
    n_tokens = -(-512 // n_sequences) * n_sequences
    cells = (made.n_cells, made.n_window_cells)
    return CacheSettings(n_ctx, made.kv_type, True, n_sequences, n_tokens, flash, *cells)


@pytest.mark.parametrize(("name", "n_layers", "n_ctx", "kv_type", "flash", "measured_mib"), MEASURED_ON_H200)
def test_buffers_are_as_measured_on_a_gpu(
    tmp_path: Path, name: str, n_layers: int, n_ctx: int, kv_type: str, flash: bool, measured_mib: float
) -> None:
    shape = shape_of(tmp_path, name, tied=False)
    room = Room(shape, _settings(shape, n_ctx, kv_type, 1, flash=flash), [gpu(139)], cpu(), Wishes(), Corrections())
    placement = room.place(n_layers, 0, anyway=True)
    assert placement is not None
    share = room.shares(placement)[0]
    assert share.compute_bytes / MIB == pytest.approx(measured_mib, abs=25)


@pytest.mark.parametrize(("name", "reserved_mib"), RESERVED.items())
def test_buffers_of_other_families_are_as_llama_cpp_reserves_them(
    tmp_path: Path, name: str, reserved_mib: float
) -> None:
    shape = shape_of(tmp_path, name)
    made = gpu_buffer(shape, _settings(shape, 8192, "f16", 33), gpu(80))
    assert made / MIB == pytest.approx(reserved_mib, abs=10)


def test_several_gpus_in_a_pipeline_hold_every_input_four_times(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, "llama-8b")
    settings = _settings(shape, 8192, "f16", 33)
    alone = gpu_buffer(shape, settings, gpu(80))
    first = alone + pipeline_bytes(shape, settings, is_first=True)
    second = alone + pipeline_bytes(shape, settings, is_first=False)
    assert first / MIB == pytest.approx(177.4, abs=1)
    assert second / MIB == pytest.approx(210.4, abs=1)


def test_the_processor_alone_and_beside_a_gpu(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, "llama-8b")
    settings = _settings(shape, 8192, "f16", 33)
    logits = 33 * shape.n_vocab * 4
    assert (host_buffer(shape, settings, has_gpu=False) - logits) / MIB == pytest.approx(127.9, abs=1)
    assert (host_buffer(shape, settings, has_gpu=True) - logits) / MIB == pytest.approx(24.8, abs=1)


def test_experts_that_a_gpu_borrows_for_prompts_are_in_its_buffer(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, "qwen3-30b-a3b")
    room = Room(shape, _settings(shape, 8192, "f16", 33), [gpu(24)], cpu(), Wishes(), Corrections())
    all_here, some_there = room.place(49, 0, anyway=True), room.place(49, 10, anyway=True)
    assert all_here is not None
    assert some_there is not None
    more = room.shares(some_there)[0].compute_bytes - room.shares(all_here)[0].compute_bytes
    assert more == max(layer.experts.largest_bytes for layer in shape.layers[:10])


def test_a_small_model_with_many_words_needs_most_where_the_logits_are_made(tmp_path: Path) -> None:
    changes = {"n_layers": 18, "width": 640, "n_heads": 4, "n_kv_heads": 1, "n_ff": 2048, "n_vocab": 262_144}
    shape = shape_of(tmp_path, "gemma3-4b", **changes)
    logits = 65 * shape.n_vocab * 4
    made = host_buffer(shape, _settings(shape, 8192, "f16", 65), has_gpu=False)
    assert (made - logits) / MIB == pytest.approx(66.4, abs=2)
