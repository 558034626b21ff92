"""What a header tells: the cells and states here are those that llama.cpp's own log states for the same headers."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.gguf import read_header
from engine.plan import KvType, ModelShape, Wishes, plan
from engine.plan.cache import CacheSettings
from tests.doubles.architectures import make_tiny_bert, make_tiny_gemma, make_tiny_mamba
from tests.doubles.geometries import GEOMETRIES
from tests.doubles.gguf import Typed, make_tiny_gguf
from tests.doubles.machines import MACHINES, MIB, shape_of

CELLS_MIB = {
    "llama-1b": 256.0,
    "llama-8b": 1024.0,
    "llama-70b": 2560.0,
    "qwen3-14b": 1280.0,
    "qwen3-30b-a3b": 768.0,
    "gemma2-9b": 2688.0,
    "gemma3-4b": 1088.0,
    "gemma3-27b": 3968.0,
    "gpt-oss-20b": 384.0,
    "cohere2-7b": 1024.0,
    "deepseek-v2-lite": 243.0,
    "deepseek-v3": 549.0,
    "granite-h-tiny": 64.0,
    "qwen3-next-80b": 192.0,
    "lfm2-1b": 96.0,
    "falcon-h1-7b": 352.0,
    "mamba-3b": 0.0,
}
"""Of 8,192 tokens in F16, the whole context in layers with a window too."""
STATE_BYTES = {"granite-h-tiny": 1_612_800, "qwen3-next-80b": 2_195_456, "lfm2-1b": 16_384}
"""Of a layer and a sequence."""
FULL_LAYERS = {
    "gemma2-9b": range(1, 42, 2),
    "gemma3-27b": range(5, 62, 6),
    "gpt-oss-20b": range(1, 24, 2),
    "cohere2-7b": range(3, 32, 4),
}


def _cells(shape: ModelShape, n_ctx: int, kv_type: KvType = KvType.F16, *, swa_full: bool = True) -> int:
    made = CacheSettings.of(shape, Wishes(), n_ctx, kv_type, flash_attention=True, swa_full=swa_full)
    states = sum(layer.cache.state_bytes for layer in shape.layers) * made.n_sequences
    return sum(made.layer_bytes(layer.cache) for layer in shape.layers) - states


@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_cache_is_exact_for_every_kind_of_attention(tmp_path: Path, name: str) -> None:
    assert _cells(shape_of(tmp_path, name), 8192) == CELLS_MIB[name] * MIB


def test_blocks_of_a_quantized_cache_are_counted_with_their_scales(tmp_path: Path) -> None:
    assert _cells(shape_of(tmp_path, "llama-8b"), 4096, KvType.Q8_0) == 272 * MIB


def test_the_context_is_rounded_up_to_whole_blocks_of_cells(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, "llama-8b")
    assert _cells(shape, 4097) == _cells(shape, 4352)


@pytest.mark.parametrize(("name", "state_bytes"), STATE_BYTES.items())
def test_recurrent_layers_have_a_state_and_the_others_cells(tmp_path: Path, name: str, state_bytes: int) -> None:
    geometry, shape = GEOMETRIES[name], shape_of(tmp_path, name)
    attends = geometry.attention_layers or ()
    for layer in shape.layers:
        assert layer.cache.state_bytes == (0 if layer.index in attends else state_bytes)
        assert bool(layer.cache.key_width) == (layer.index in attends)


def test_a_parallel_hybrid_has_cells_and_state_in_every_layer(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, "falcon-h1-7b")
    assert all(layer.cache.key_width and layer.cache.state_bytes for layer in shape.layers)


@pytest.mark.parametrize(("name", "full"), FULL_LAYERS.items())
def test_windows_follow_each_familys_pattern(tmp_path: Path, name: str, full: range) -> None:
    shape = shape_of(tmp_path, name)
    assert [layer.index for layer in shape.layers if not layer.cache.has_window] == list(full)


def test_a_window_alone_takes_room_for_each_sequence_and_a_batch(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, "gpt-oss-20b")
    n_full = _cells(shape, 131_072) // 2
    window_cells = 128 * 65 + 512 + 128  # rounded up to blocks of 256
    assert _cells(shape, 131_072, swa_full=False) == n_full + n_full * window_cells // 131_072


def test_a_window_in_a_file_whose_family_has_none_does_not_count(tmp_path: Path) -> None:
    assert shape_of(tmp_path, "qwen3-14b", window=4096).window == 0


@pytest.mark.parametrize("name", GEOMETRIES)
def test_every_tensor_is_somewhere_once(tmp_path: Path, name: str) -> None:
    shape = shape_of(tmp_path, name)
    tied = shape.input.largest_bytes if shape.is_tied else 0
    assert shape.weights.size_bytes - tied == shape.size_bytes
    assert shape.is_tied == GEOMETRIES[name].tied


def test_experts_are_apart_from_what_every_token_reads(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, "deepseek-v2-lite")
    assert shape.n_expert_layers == 26
    assert shape.layers[0].feed_forward.size_bytes
    assert not shape.layers[1].feed_forward.size_bytes
    assert shape.layers[1].experts.size_bytes > 10 * shape.layers[1].rest.size_bytes


def test_what_is_no_multiple_of_a_row_is_padded_on_a_gpu(tmp_path: Path) -> None:
    experts = shape_of(tmp_path, "gpt-oss-20b").layers[0].experts
    assert experts.gpu_bytes > experts.size_bytes


def test_a_model_without_a_cache_has_none(tmp_path: Path) -> None:
    shape = _shape(make_tiny_bert(tmp_path / "bert.gguf").path)
    assert not any(layer.cache.key_width for layer in shape.layers)


def test_tiny_models_have_shapes_too(tmp_path: Path) -> None:
    assert _shape(make_tiny_gguf(tmp_path / "llama.gguf")).n_layers == 2
    assert _shape(make_tiny_mamba(tmp_path / "mamba.gguf")).has_state
    assert _shape(make_tiny_gemma(tmp_path / "gemma.gguf")).window == 32


def _shape(path: Path) -> ModelShape:
    return ModelShape.of(read_header(path))


ABSURD = st.sampled_from([0, 1, 3, 2**31 - 1, 2**32 - 1])
KEYS = (
    "block_count context_length embedding_length feed_forward_length attention.head_count attention.head_count_kv "
    "attention.key_length attention.value_length attention.sliding_window attention.sliding_window_pattern "
    "expert_count expert_used_count nextn_predict_layers ssm.state_size ssm.inner_size full_attention_interval"
)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    architecture=st.sampled_from(["llama", "gemma3", "qwen3next", "deepseek2", "mamba", "nemotron_h", "nonsense"]),
    values=st.dictionaries(st.sampled_from(KEYS.split()), ABSURD | st.lists(ABSURD, max_size=4)),
)
def test_numbers_of_strangers_are_survived(
    tmp_path: Path, architecture: str, values: dict[str, int | list[int]]
) -> None:
    metadata = {
        f"{architecture}.{key}": Typed("arr:u32", value) if isinstance(value, list) else Typed("u32", value)
        for key, value in values.items()
    }
    path = make_tiny_gguf(tmp_path / "strange.gguf", metadata={"general.architecture": architecture} | metadata)
    shape = _shape(path)
    for devices in MACHINES.values():
        assert plan(shape, devices).shares
