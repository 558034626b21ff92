"""Files with the shape of well-known models and no weights: a header, and nothing where the weights would be.

They are as long as the real ones and take no room on a disk that knows holes. llama.cpp loads them with ``no_alloc``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.gguf.facts import GGML_TYPES
from tests.doubles.gguf import RawTensor, Typed, Value, encode_gguf

F32, F16, Q4_0, Q8_0, Q4_K, Q6_K, MXFP4 = 0, 1, 2, 8, 12, 14, 39
_ALIGNMENT = 32


@dataclass(frozen=True)
class Geometry:
    """A model by its numbers. ``types`` are those of its matrices and of what a K_M mix keeps better."""

    architecture: str
    n_layers: int
    width: int
    n_heads: int
    n_kv_heads: int
    n_ff: int
    n_vocab: int
    head: int = 0
    n_ctx: int = 131_072
    tied: bool = False
    qk_norm: bool = False
    post_norms: bool = False
    window: int = 0
    n_experts: int = 0
    n_experts_used: int = 0
    n_ff_expert: int = 0
    n_ff_shared: int = 0
    n_dense: int = 0
    kv_rank: int = 0
    q_rank: int = 0
    attention_layers: tuple[int, ...] | None = None
    types: tuple[int, int] = (Q4_K, Q6_K)
    expert_type: int | None = None
    extra: dict[str, Value] = field(default_factory=dict)

    @property
    def head_width(self) -> int:
        return self.head or self.width // self.n_heads


GEOMETRIES = {
    "llama-1b": Geometry("llama", 16, 2048, 32, 8, 8192, 128_256, tied=True),
    "llama-8b": Geometry("llama", 32, 4096, 32, 8, 14_336, 128_256),
    "llama-70b": Geometry("llama", 80, 8192, 64, 8, 28_672, 128_256),
    "qwen3-14b": Geometry("qwen3", 40, 5120, 40, 8, 17_408, 151_936, head=128, n_ctx=40_960, qk_norm=True),
    "qwen3-30b-a3b": Geometry(
        "qwen3moe",
        48,
        2048,
        32,
        4,
        6144,
        151_936,
        head=128,
        n_ctx=262_144,
        qk_norm=True,
        n_experts=128,
        n_experts_used=8,
        n_ff_expert=768,
    ),
    "gemma2-9b": Geometry(
        "gemma2", 42, 3584, 16, 8, 14_336, 256_000, head=256, n_ctx=8192, tied=True, post_norms=True, window=4096
    ),
    "gemma3-4b": Geometry(
        "gemma3", 34, 2560, 8, 4, 10_240, 262_208, head=256, tied=True, qk_norm=True, post_norms=True, window=1024
    ),
    "gemma3-27b": Geometry(
        "gemma3", 62, 5376, 32, 16, 21_504, 262_208, head=128, tied=True, qk_norm=True, post_norms=True, window=1024
    ),
    "gpt-oss-20b": Geometry(
        "gpt-oss",
        24,
        2880,
        64,
        8,
        2880,
        201_088,
        head=64,
        window=128,
        n_experts=32,
        n_experts_used=4,
        n_ff_expert=2880,
        types=(Q8_0, Q8_0),
        expert_type=MXFP4,
    ),
    "cohere2-7b": Geometry("cohere2", 32, 4096, 32, 8, 14_336, 256_000, n_ctx=8192, tied=True, window=4096),
    "deepseek-v2-lite": Geometry(
        "deepseek2",
        27,
        2048,
        16,
        1,
        10_944,
        102_400,
        n_ctx=163_840,
        n_experts=64,
        n_experts_used=6,
        n_ff_expert=1408,
        n_ff_shared=2816,
        n_dense=1,
        kv_rank=512,
    ),
    "deepseek-v3": Geometry(
        "deepseek2",
        61,
        7168,
        128,
        1,
        18_432,
        129_280,
        n_ctx=163_840,
        n_experts=256,
        n_experts_used=8,
        n_ff_expert=2048,
        n_ff_shared=2048,
        n_dense=3,
        kv_rank=512,
        q_rank=1536,
    ),
    "granite-h-tiny": Geometry(
        "granitehybrid",
        40,
        1536,
        12,
        4,
        512,
        100_352,
        n_experts=64,
        n_experts_used=6,
        n_ff_expert=512,
        n_ff_shared=1024,
        tied=True,
        attention_layers=(5, 15, 25, 35),
        extra={"ssm.conv_kernel": 4, "ssm.inner_size": 3072, "ssm.state_size": 128, "ssm.time_step_rank": 48}
        | {"ssm.group_count": 1},
    ),
    "qwen3-next-80b": Geometry(
        "qwen3next",
        48,
        2048,
        16,
        2,
        5120,
        151_936,
        head=256,
        n_ctx=262_144,
        qk_norm=True,
        n_experts=512,
        n_experts_used=10,
        n_ff_expert=512,
        n_ff_shared=512,
        attention_layers=tuple(range(3, 48, 4)),
        extra={"ssm.conv_kernel": 4, "ssm.inner_size": 4096, "ssm.state_size": 128, "ssm.time_step_rank": 32}
        | {"ssm.group_count": 16},
    ),
    "lfm2-1b": Geometry(
        "lfm2",
        16,
        2048,
        32,
        8,
        8192,
        65_536,
        n_ctx=128_000,
        tied=True,
        qk_norm=True,
        attention_layers=(2, 5, 8, 10, 12, 14),
        extra={"shortconv.l_cache": 3},
    ),
    "falcon-h1-7b": Geometry(
        "falcon-h1",
        44,
        3072,
        12,
        2,
        12_288,
        130_048,
        head=128,
        extra={"ssm.conv_kernel": 4, "ssm.inner_size": 3072, "ssm.state_size": 256, "ssm.time_step_rank": 24}
        | {"ssm.group_count": 1},
    ),
    "mamba-3b": Geometry(
        "mamba",
        64,
        2560,
        0,
        0,
        0,
        50_280,
        n_ctx=1_048_576,
        tied=True,
        attention_layers=(),
        extra={"ssm.conv_kernel": 4, "ssm.inner_size": 5120, "ssm.state_size": 16, "ssm.time_step_rank": 160},
    ),
}


def write_geometry(path: Path, name: str, **changes: object) -> Path:
    """A file of that geometry; ``changes`` replace numbers of it."""
    from dataclasses import replace

    geometry = replace(GEOMETRIES[name], **changes)  # type: ignore[arg-type]  # whoever changes knows the fields
    tensors, position = {}, 0
    for tensor, (shape, ggml_type) in _tensors(geometry).items():
        tensors[tensor] = RawTensor(shape, ggml_type, b"", position)
        size = _size_bytes(shape, ggml_type)
        position += size + -size % _ALIGNMENT
    header = encode_gguf(_metadata(geometry, name), tensors)
    path.write_bytes(header)
    os.truncate(path, len(header) + position)
    return path


def _metadata(geometry: Geometry, name: str) -> dict[str, Value]:
    values: dict[str, Value] = {
        "context_length": geometry.n_ctx,
        "embedding_length": geometry.width,
        "block_count": geometry.n_layers,
        "feed_forward_length": geometry.n_ff,
        "vocab_size": geometry.n_vocab,
        "attention.head_count": geometry.n_heads,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "attention.layer_norm_epsilon": 1e-5,
    }
    if geometry.n_heads:
        values["attention.head_count_kv"] = _kv_heads(geometry)
        values["rope.freq_base"] = 500_000.0
    if geometry.kv_rank:
        values |= {"attention.kv_lora_rank": geometry.kv_rank, "attention.key_length": geometry.kv_rank + 64}
        values |= {"attention.value_length": geometry.kv_rank, "attention.key_length_mla": 192}
        values |= {"attention.value_length_mla": 128, "rope.dimension_count": 64}
        values |= {"attention.q_lora_rank": geometry.q_rank} if geometry.q_rank else {}
    elif geometry.head:
        values |= {"attention.key_length": geometry.head, "attention.value_length": geometry.head}
        values |= {"rope.dimension_count": geometry.head}
    if geometry.window:
        values["attention.sliding_window"] = geometry.window
    if geometry.n_experts:
        values |= {"expert_count": geometry.n_experts, "expert_used_count": geometry.n_experts_used}
        values |= {"expert_feed_forward_length": geometry.n_ff_expert, "expert_shared_count": 1}
        values |= {"leading_dense_block_count": geometry.n_dense, "expert_weights_scale": 1.0}
        values |= {"expert_shared_feed_forward_length": geometry.n_ff_shared} if geometry.n_ff_shared else {}
        if geometry.kv_rank:
            values["expert_shared_count"] = geometry.n_ff_shared // geometry.n_ff_expert
    if geometry.architecture == "cohere2":
        values["logit_scale"] = 0.25
    keys = values | geometry.extra
    return {
        "general.architecture": geometry.architecture,
        "general.name": name,
        "general.file_type": 15,
        "tokenizer.ggml.model": "none",
    } | {f"{geometry.architecture}.{key}": value for key, value in keys.items()}


def _kv_heads(geometry: Geometry) -> Value:
    attends = geometry.attention_layers
    if attends is None or geometry.architecture == "qwen3next":
        return geometry.n_kv_heads
    return Typed("arr:i32", [geometry.n_kv_heads if layer in attends else 0 for layer in range(geometry.n_layers)])


def _tensors(geometry: Geometry) -> dict[str, tuple[tuple[int, ...], int]]:
    usual, better = geometry.types
    words = (geometry.width, geometry.n_vocab)
    tensors = {"token_embd.weight": (words, _fitting(words, better if geometry.tied else usual))}
    norm = "token_embd_norm" if geometry.architecture == "lfm2" else "output_norm"
    tensors[f"{norm}.weight"] = ((geometry.width,), F32)
    if not geometry.tied:
        tensors["output.weight"] = (words, _fitting(words, better))
    for layer in range(geometry.n_layers):
        for part, shape in _layer(geometry, layer):
            matrix = len(shape) > 1 and not part.startswith(
                ("ssm_conv1d", "ssm_a", "ssm_d", "ssm_norm", "shortconv.conv")
            )
            matrix = matrix and not part.endswith("bias") and part != "ffn_gate_inp.weight"
            is_better = part in ("attn_v.weight", "ffn_down.weight", "ffn_down_exps.weight")
            kind = better if is_better and _keeps_more(layer, geometry.n_layers) else usual
            if "_exps" in part and geometry.expert_type is not None:
                kind = geometry.expert_type
            tensors[f"blk.{layer}.{part}"] = (shape, _fitting(shape, kind) if matrix else F32)
    return tensors


def _fitting(shape: tuple[int, ...], ggml_type: int) -> int:
    """Rows that are not whole blocks get a type with smaller ones, as llama.cpp's quantizer does it."""
    return Q8_0 if shape[0] % GGML_TYPES[ggml_type].block_size else ggml_type


def _keeps_more(layer: int, n_layers: int) -> bool:
    """Which layers a K_M mix gives more bits."""
    eighth = n_layers // 8
    return layer < eighth or layer >= 7 * eighth or (layer - eighth) % 3 == 2


def _layer(geometry: Geometry, layer: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    width = geometry.width
    yield "attn_norm.weight", (width,)
    if geometry.architecture in ("granitehybrid", "mamba", "qwen3next", "lfm2"):
        attends = geometry.attention_layers is not None and layer in geometry.attention_layers
    else:
        attends = True
    if attends:
        yield from _attention(geometry)
    if not attends or geometry.architecture == "falcon-h1":
        yield from _STATES[geometry.architecture](geometry)
    if geometry.post_norms:
        yield "post_attention_norm.weight", (width,)
        yield "post_ffw_norm.weight", (width,)
    if geometry.architecture in ("gpt-oss", "qwen3next"):
        yield "post_attention_norm.weight", (width,)
    elif geometry.architecture == "falcon-h1":
        yield "ffn_norm", (width,)
    elif geometry.architecture not in ("cohere2", "mamba"):
        yield "ffn_norm.weight", (width,)
    if geometry.n_experts and layer >= geometry.n_dense:
        yield from _experts(geometry)
    elif geometry.n_ff:
        yield from _matrices("ffn_{}.weight", width, geometry.n_ff)


def _attention(geometry: Geometry) -> Iterator[tuple[str, tuple[int, ...]]]:
    width, head = geometry.width, geometry.head_width
    if geometry.kv_rank:
        yield from _latent_attention(geometry)
        return
    gate = 2 if geometry.architecture == "qwen3next" else 1
    yield "attn_q.weight", (width, gate * head * geometry.n_heads)
    yield "attn_k.weight", (width, head * geometry.n_kv_heads)
    yield "attn_v.weight", (width, head * geometry.n_kv_heads)
    yield "attn_output.weight", (head * geometry.n_heads, width)
    if geometry.qk_norm:
        yield "attn_q_norm.weight", (head,)
        yield "attn_k_norm.weight", (head,)
    if geometry.architecture == "gpt-oss":
        yield "attn_sinks.weight", (geometry.n_heads,)
        yield "attn_q.bias", (head * geometry.n_heads,)
        yield "attn_k.bias", (head * geometry.n_kv_heads,)
        yield "attn_v.bias", (head * geometry.n_kv_heads,)
        yield "attn_output.bias", (width,)


def _latent_attention(geometry: Geometry) -> Iterator[tuple[str, tuple[int, ...]]]:
    width, rank, n_heads = geometry.width, geometry.kv_rank, geometry.n_heads
    if geometry.q_rank:
        yield "attn_q_a_norm.weight", (geometry.q_rank,)
        yield "attn_q_a.weight", (width, geometry.q_rank)
        yield "attn_q_b.weight", (geometry.q_rank, n_heads * 192)
    else:
        yield "attn_q.weight", (width, n_heads * 192)
    yield "attn_kv_a_norm.weight", (rank,)
    yield "attn_kv_a_mqa.weight", (width, rank + 64)
    yield "attn_k_b.weight", (128, rank, n_heads)
    yield "attn_v_b.weight", (rank, 128, n_heads)
    yield "attn_output.weight", (n_heads * 128, width)


def _experts(geometry: Geometry) -> Iterator[tuple[str, tuple[int, ...]]]:
    width, n, n_ff = geometry.width, geometry.n_experts, geometry.n_ff_expert
    yield "ffn_gate_inp.weight", (width, n)
    yield "ffn_gate_exps.weight", (width, n_ff, n)
    yield "ffn_up_exps.weight", (width, n_ff, n)
    yield "ffn_down_exps.weight", (n_ff, width, n)
    if geometry.architecture == "gpt-oss":
        yield "ffn_gate_inp.bias", (n,)
        yield "ffn_gate_exps.bias", (n_ff, n)
        yield "ffn_up_exps.bias", (n_ff, n)
        yield "ffn_down_exps.bias", (width, n)
    if geometry.n_ff_shared:
        if geometry.architecture == "qwen3next":
            yield "ffn_gate_inp_shexp.weight", (width,)
        yield from _matrices("ffn_{}_shexp.weight", width, geometry.n_ff_shared)


def _matrices(name: str, width: int, n_ff: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield name.format("gate"), (width, n_ff)
    yield name.format("up"), (width, n_ff)
    yield name.format("down"), (n_ff, width)


def _ssm(geometry: Geometry) -> tuple[int, int, int, int, int]:
    def number(name: str) -> int:
        value = geometry.extra.get(f"ssm.{name}", 0)
        assert isinstance(value, int)
        return value

    names = ("conv_kernel", "inner_size", "state_size", "time_step_rank")
    kernel, inner, state, rank = map(number, names)
    return kernel, inner, state, rank, number("group_count")


def _mamba2(geometry: Geometry) -> Iterator[tuple[str, tuple[int, ...]]]:
    kernel, inner, state, heads, groups = _ssm(geometry)
    convolved = inner + 2 * groups * state
    yield "ssm_in.weight", (geometry.width, inner + convolved + heads)
    yield "ssm_conv1d.weight", (kernel, convolved)
    yield "ssm_conv1d.bias", (convolved,)
    yield "ssm_dt.bias", (heads,)
    yield "ssm_a", (1, heads)
    yield "ssm_d", (1, heads)
    yield "ssm_norm.weight", (inner // groups, groups)
    yield "ssm_out.weight", (inner, geometry.width)


def _mamba(geometry: Geometry) -> Iterator[tuple[str, tuple[int, ...]]]:
    kernel, inner, state, rank, _ = _ssm(geometry)
    yield "ssm_in.weight", (geometry.width, 2 * inner)
    yield "ssm_conv1d.weight", (kernel, inner)
    yield "ssm_conv1d.bias", (inner,)
    yield "ssm_x.weight", (inner, rank + 2 * state)
    yield "ssm_dt.weight", (rank, inner)
    yield "ssm_dt.bias", (inner,)
    yield "ssm_a", (state, inner)
    yield "ssm_d", (inner,)
    yield "ssm_out.weight", (inner, geometry.width)


def _delta_net(geometry: Geometry) -> Iterator[tuple[str, tuple[int, ...]]]:
    kernel, inner, state, heads, groups = _ssm(geometry)
    mixed = 2 * state * groups + inner
    yield "attn_qkv.weight", (geometry.width, mixed)
    yield "attn_gate.weight", (geometry.width, inner)
    yield "ssm_conv1d.weight", (kernel, mixed)
    yield "ssm_dt.bias", (heads,)
    yield "ssm_a", (heads,)
    yield "ssm_ba.weight", (geometry.width, 2 * heads)
    yield "ssm_norm.weight", (state,)
    yield "ssm_out.weight", (inner, geometry.width)


def _short_convolution(geometry: Geometry) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "shortconv.conv.weight", (3, geometry.width)
    yield "shortconv.in_proj.weight", (geometry.width, 3 * geometry.width)
    yield "shortconv.out_proj.weight", (geometry.width, geometry.width)


_STATES: dict[str, Callable[[Geometry], Iterator[tuple[str, tuple[int, ...]]]]] = {
    "granitehybrid": _mamba2,
    "falcon-h1": _mamba2,
    "mamba": _mamba,
    "qwen3next": _delta_net,
    "lfm2": _short_convolution,
}


def _size_bytes(shape: tuple[int, ...], ggml_type: int) -> int:
    facts = GGML_TYPES[ggml_type]
    return math.prod(shape) // facts.block_size * facts.block_bytes
