"""A model file with the shape of a well-known model and weights that mean nothing: for speed, not for sense.

    python -m tests.benchmarks.geometry OUT.gguf --size 1b --vocab-from MODEL.gguf

The vocabulary and the chat template are those of MODEL.gguf, of which only the header is read and need be there.
Tokens that no text leads to fill the vocabulary up. Weights are random Q4_K blocks around zero, of a size that keeps
activations near one; the output matrix is Q6_K, and gives control tokens a logit of zero, so that an answer does not
end by chance.
"""

from __future__ import annotations

import argparse
import itertools
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from engine.gguf import GgufArray, GgufHeader, ValueKind
from engine.gguf.header import GgufTensor, GgufValue
from engine.gguf.reader import _HeaderReader
from engine.gguf.source import open_source
from tests.doubles.gguf import CONTROL, NORMAL, encode_string, encode_value

F32, Q4_K, Q6_K = 0, 12, 14
QK_K = 256
N_POOL_BLOCKS = 131_071
"""A prime larger than any vocabulary: rows cut from the pool one after the other all begin at another block."""
ALIGNMENT = 32
FILE_TYPE_Q4_K_M = 15

_Q4_K = np.dtype([("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", 12), ("qs", "u1", QK_K // 2)])
_Q6_K = np.dtype([("ql", "u1", QK_K // 2), ("qh", "u1", QK_K // 4), ("scales", "i1", 16), ("d", "<f2")])
_SCALE = 16
_Q4_K_SCALES = [0x50] * 8 + [0] * 4
"""Every scale and every minimum of a Q4_K block is 16, in its six-bit packing (ggml-quants.c, get_scale_min_k4)."""
_Q4_DEVIATION, _Q6_DEVIATION = math.sqrt((16**2 - 1) / 12), math.sqrt((64**2 - 1) / 12)
"""Standard deviations of evenly drawn quants."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """``rope_factor`` is how far Llama 3 stretches the slow rotations; a mixture of experts stretches none.

    ``n_experts`` makes a mixture after Qwen3: of that many experts of width ``n_ff``, ``n_used`` answer for a token.
    """

    n_layers: int
    width: int
    n_heads: int
    n_kv_heads: int
    n_ff: int
    n_vocab: int
    rope_factor: float
    n_experts: int = 0
    n_used: int = 0
    length: int | None = None
    """Of a head, where it is not the width divided by the heads."""

    @property
    def head_width(self) -> int:
        return self.length or self.width // self.n_heads

    @property
    def architecture(self) -> str:
        return "qwen3moe" if self.n_experts else "llama"


GEOMETRIES = {
    "1b": Geometry(16, 2048, 32, 8, 8192, 128_256, 32.0),
    "8b": Geometry(32, 4096, 32, 8, 14_336, 128_256, 8.0),
    "14b": Geometry(40, 5120, 40, 8, 17_408, 151_936, 8.0),
    "30b-a3b": Geometry(48, 2048, 32, 4, 768, 151_936, 1.0, n_experts=128, n_used=8, length=128),
    "tiny": Geometry(2, 256, 4, 2, 512, 51_200, 8.0),
    "tiny-moe": Geometry(2, 256, 4, 2, 256, 51_200, 1.0, n_experts=8, n_used=2, length=64),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """``shape`` has the row length first."""

    name: str
    shape: tuple[int, ...]
    ggml_type: int

    @property
    def size_bytes(self) -> int:
        n_elements = math.prod(self.shape)
        if self.ggml_type == F32:
            return 4 * n_elements
        return n_elements // QK_K * (_Q4_K if self.ggml_type == Q4_K else _Q6_K).itemsize


class _HeaderOnly(_HeaderReader):
    """Of a file that may end after its header."""

    def _check_data(self, tensors: tuple[GgufTensor, ...], data_offset: int) -> None:
        pass


def read_header_only(path: Path) -> GgufHeader:
    with open_source(path) as source:
        return _HeaderOnly(path, source).read()


class Weights:
    """Writes tensors of random blocks out of two pools that are made once."""

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._q4 = self._pool(_Q4_K)
        self._q4["scales"] = _Q4_K_SCALES
        self._q6 = self._pool(_Q6_K)
        self._q6["scales"] = _SCALE

    def write(self, file: IO[bytes], tensor: Tensor, n_zero_rows: int = 0) -> None:
        """The first rows may be zero; products with rows of numbers near one are near one."""
        size = 1 / math.sqrt(tensor.shape[0])
        n_zero_bytes = tensor.size_bytes // tensor.shape[-1] * n_zero_rows
        file.write(bytes(n_zero_bytes))
        if tensor.ggml_type == Q4_K:
            self._q4["d"] = size / _Q4_DEVIATION / _SCALE
            self._q4["dmin"] = self._q4["d"] * np.float16(7.5)
            self._write_cyclic(file, self._q4, tensor.size_bytes - n_zero_bytes)
        else:
            self._q6["d"] = size / _Q6_DEVIATION / _SCALE
            self._write_cyclic(file, self._q6, tensor.size_bytes - n_zero_bytes)

    def numbers(self, shape: tuple[int, ...]) -> bytes:
        """A matrix that routes every token to other experts."""
        return (self._random.standard_normal(math.prod(shape)) / math.sqrt(shape[0])).astype("<f4").tobytes()

    def _pool(self, block: np.dtype[Any]) -> npt.NDArray[Any]:
        return np.frombuffer(bytearray(self._random.bytes(N_POOL_BLOCKS * block.itemsize)), dtype=block)

    def _write_cyclic(self, file: IO[bytes], pool: npt.NDArray[Any], n_bytes: int) -> None:
        data = pool.view(np.uint8).data
        position = int(self._random.integers(N_POOL_BLOCKS)) * pool.itemsize
        while n_bytes:
            written = file.write(data[position : position + n_bytes])
            n_bytes, position = n_bytes - written, 0


def tensors_of(geometry: Geometry) -> Iterator[Tensor]:
    width = geometry.width
    yield Tensor("token_embd.weight", (width, geometry.n_vocab), Q4_K)
    if not geometry.n_experts:
        yield Tensor("rope_freqs.weight", (geometry.head_width // 2,), F32)
    for layer in range(geometry.n_layers):
        for name, shape in {**_attention(geometry), **_feed_forward(geometry)}.items():
            is_plain = len(shape) == 1 or name == "ffn_gate_inp"
            yield Tensor(f"blk.{layer}.{name}.weight", shape, F32 if is_plain else Q4_K)
    yield Tensor("output_norm.weight", (width,), F32)
    yield Tensor("output.weight", (width, geometry.n_vocab), Q6_K)


def _attention(geometry: Geometry) -> dict[str, tuple[int, ...]]:
    width, n_head, n_kv = (
        geometry.width,
        geometry.head_width * geometry.n_heads,
        geometry.head_width * geometry.n_kv_heads,
    )
    shapes: dict[str, tuple[int, ...]] = {
        "attn_norm": (width,),
        "attn_q": (width, n_head),
        "attn_k": (width, n_kv),
        "attn_v": (width, n_kv),
        "attn_output": (n_head, width),
    }
    if geometry.n_experts:
        shapes |= {"attn_q_norm": (geometry.head_width,), "attn_k_norm": (geometry.head_width,)}
    return shapes


def _feed_forward(geometry: Geometry) -> dict[str, tuple[int, ...]]:
    width, n_ff, n_experts = geometry.width, geometry.n_ff, geometry.n_experts
    if not n_experts:
        return {"ffn_norm": (width,), "ffn_gate": (width, n_ff), "ffn_up": (width, n_ff), "ffn_down": (n_ff, width)}
    return {
        "ffn_norm": (width,),
        "ffn_gate_inp": (width, n_experts),
        "ffn_gate_exps": (width, n_ff, n_experts),
        "ffn_up_exps": (width, n_ff, n_experts),
        "ffn_down_exps": (n_ff, width, n_experts),
    }


def rope_factors(geometry: Geometry) -> npt.NDArray[np.float32]:
    """By what each rotation is slowed: Llama 3 leaves the fast ones, stretches the slow ones, and blends between."""
    low, high, n_ctx_before = 1.0, 4.0, 8192
    turns = n_ctx_before / (2 * math.pi * 500_000.0 ** (np.arange(0, geometry.head_width, 2) / geometry.head_width))
    blend = np.clip((turns - low) / (high - low), 0.0, 1.0)
    factors: npt.NDArray[np.float32] = (1 / ((1 - blend) / geometry.rope_factor + blend)).astype("<f4")
    return factors


def encode_metadata(geometry: Geometry, name: str, source: Mapping[str, GgufValue]) -> dict[str, bytes]:
    values: dict[str, str | int | float] = {
        "general.architecture": geometry.architecture,
        "general.name": f"Random weights, {name}",
        "general.file_type": FILE_TYPE_Q4_K_M,
        "general.quantization_version": 2,
    }
    values |= {f"{geometry.architecture}.{key}": value for key, value in _hyperparameters(geometry).items()}
    pairs = {key: encode_value(value) for key, value in values.items()}
    for key, value in source.items():
        if key.startswith("tokenizer."):
            pairs[key] = _encode_tokenizer(key, value, geometry)
    return pairs


def _hyperparameters(geometry: Geometry) -> dict[str, int | float]:
    values: dict[str, int | float] = {
        "context_length": 131_072,
        "embedding_length": geometry.width,
        "block_count": geometry.n_layers,
        "feed_forward_length": geometry.n_ff,
        "attention.head_count": geometry.n_heads,
        "attention.head_count_kv": geometry.n_kv_heads,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.dimension_count": geometry.head_width,
        "rope.freq_base": 500_000.0,
        "vocab_size": geometry.n_vocab,
    }
    if geometry.n_experts:
        values |= {
            "attention.key_length": geometry.head_width,
            "attention.value_length": geometry.head_width,
            "expert_count": geometry.n_experts,
            "expert_used_count": geometry.n_used,
            "expert_feed_forward_length": geometry.n_ff,
        }
    return values


def _encode_tokenizer(key: str, value: GgufValue, geometry: Geometry) -> bytes:
    if not isinstance(value, GgufArray):
        return encode_value(value)
    array = _padded(key, value, geometry)
    return struct.pack("<IIQ", ValueKind.ARRAY, array.kind, array.count) + array.data


def _padded(key: str, array: GgufArray, geometry: Geometry) -> GgufArray:
    """Lists with one item a token are filled up with words that no merge makes."""
    n_missing = geometry.n_vocab - array.count
    if key == "tokenizer.ggml.tokens":
        more = b"".join(encode_string(f"Ġq{number}x") for number in range(n_missing))
    elif key == "tokenizer.ggml.token_type":
        more = struct.pack("<i", NORMAL) * n_missing
    else:
        return array
    return GgufArray(array.kind, geometry.n_vocab, array.data + more)


def encode_header(pairs: Mapping[str, bytes], tensors: list[Tensor]) -> bytes:
    infos, offset = bytearray(), 0
    for tensor in tensors:
        infos += encode_string(tensor.name) + struct.pack("<I", len(tensor.shape))
        infos += struct.pack(f"<{len(tensor.shape)}QIQ", *tensor.shape, tensor.ggml_type, offset)
        offset += tensor.size_bytes + -tensor.size_bytes % ALIGNMENT
    settings = b"".join(encode_string(key) + value for key, value in pairs.items())
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(pairs)) + settings + bytes(infos)
    return header + bytes(-len(header) % ALIGNMENT)


def write_model(path: Path, size: str, vocab_from: Path) -> None:
    """Streamed: never more in memory than the pools."""
    geometry, source = GEOMETRIES[size], read_header_only(vocab_from).metadata
    tensors, weights = list(tensors_of(geometry)), Weights()
    with path.open("wb") as file:
        file.write(encode_header(encode_metadata(geometry, size, source), tensors))
        for tensor in tensors:
            if tensor.name == "rope_freqs.weight":
                file.write(rope_factors(geometry).tobytes())
            elif tensor.ggml_type == F32 and len(tensor.shape) > 1:
                file.write(weights.numbers(tensor.shape))
            elif tensor.ggml_type == F32:
                file.write(np.ones(tensor.shape, "<f4").tobytes())
            else:
                weights.write(file, tensor, _n_control_tokens(source) if tensor.name == "output.weight" else 0)
            file.write(bytes(-tensor.size_bytes % ALIGNMENT))


def _n_control_tokens(source: Mapping[str, GgufValue]) -> int:
    """Of those that come before all others, as the ends of turns do."""
    types = source["tokenizer.ggml.token_type"]
    assert isinstance(types, GgufArray)
    return sum(1 for _ in itertools.takewhile(lambda token_type: token_type == CONTROL, types))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", choices=GEOMETRIES, required=True)
    parser.add_argument("--vocab-from", type=Path, required=True)
    arguments = parser.parse_args()
    write_model(arguments.out, arguments.size, arguments.vocab_from)


if __name__ == "__main__":
    main()
