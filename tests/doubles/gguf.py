"""GGUF files made on the spot: a tiny llama model that llama.cpp really loads, and any broken variant of it.

The writer is our own and independent of the reader under test. Files are little endian and deterministic by seed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

KINDS = {"u8": 0, "i8": 1, "u16": 2, "i16": 3, "u32": 4, "i32": 5, "f32": 6, "bool": 7, "str": 8, "arr": 9, "u64": 10}
KINDS |= {"i64": 11, "f64": 12}
_FORMATS = {"u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i", "f32": "f", "bool": "?"}
_FORMATS |= {"u64": "Q", "i64": "q", "f64": "d"}

NORMAL, CONTROL, BYTE = 1, 3, 6
N_EMBD, N_HEAD, N_HEAD_KV, N_FF, N_LAYER, N_CTX_TRAIN = 64, 2, 1, 128, 2, 4096


@dataclass(frozen=True)
class Typed:
    """A metadata value whose GGUF type is said: ``Typed("u64", 7)``, ``Typed("arr:i32", [1, 2])``."""

    kind: str
    value: object


Value = Typed | str | bool | int | float | Sequence[str] | Sequence[int] | Sequence[float]


@dataclass(frozen=True)
class RawTensor:
    """A tensor as the header shall describe it. ``shape`` is in GGUF order (row length first)."""

    shape: tuple[int, ...]
    ggml_type: int
    data: bytes
    offset: int | None = None


Tensor = RawTensor | npt.NDArray[np.float32]


def make_tiny_gguf(
    path: Path,
    *,
    metadata: Mapping[str, Value | None] | None = None,
    tensors: Mapping[str, Tensor | None] | None = None,
    tokenizer: str = "gpt2",
    truncate_to: int | None = None,
    version: int = 3,
    seed: int = 0,
) -> Path:
    """Write a valid model of about 400 kB with 263 tokens (``tokenizer`` is "gpt2" or "llama"), then apply overrides.

    An override of None removes the key or tensor. ``truncate_to`` keeps that many bytes.
    """
    tokens, token_types = tiny_vocabulary(tokenizer)
    merged: dict[str, Value | None] = {**_metadata(tokenizer, tokens, token_types), **(metadata or {})}
    weights: dict[str, Tensor | None] = {**_weights(len(tokens), np.random.default_rng(seed)), **(tensors or {})}
    data = encode_gguf(
        {key: value for key, value in merged.items() if value is not None},
        {name: tensor for name, tensor in weights.items() if tensor is not None},
        version=version,
    )
    path.write_bytes(data[:truncate_to])
    return path


def tiny_vocabulary(tokenizer: str = "gpt2") -> tuple[list[str], list[int]]:
    """Token texts and token types: three control tokens, every byte, and four words."""
    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    if tokenizer == "llama":
        control = ["<unk>", "<|im_start|>", "<|im_end|>"]
        of_bytes, byte_type, words = [f"<0x{n:02X}>" for n in range(256)], BYTE, ["▁", "h", "e", "he"]
    else:
        of_bytes, byte_type, words = list(_byte_letters()), NORMAL, ["he", "ll", "hell", "hello"]
    types = [CONTROL] * len(control) + [byte_type] * len(of_bytes) + [NORMAL] * len(words)
    if tokenizer == "llama":
        types[0] = 2
    return control + of_bytes + words, types


def encode_gguf(metadata: Mapping[str, Value], tensors: Mapping[str, Tensor], *, version: int = 3) -> bytes:
    """A whole file. ``general.alignment`` in the metadata is honoured where it is a usable number."""
    alignment = metadata.get("general.alignment", 32)
    step = alignment if isinstance(alignment, int) and alignment > 0 else 32
    raw = {name: _raw(tensor) for name, tensor in tensors.items()}
    infos, blobs, position = bytearray(), bytearray(), 0
    for name, tensor in raw.items():
        offset = position if tensor.offset is None else tensor.offset
        infos += encode_string(name) + struct.pack("<I", len(tensor.shape))
        infos += b"".join(struct.pack("<Q", extent) for extent in tensor.shape)
        infos += struct.pack("<IQ", tensor.ggml_type, offset)
        blobs += tensor.data + bytes(-len(tensor.data) % step)
        position = len(blobs)
    pairs = b"".join(encode_string(key) + encode_value(value) for key, value in metadata.items())
    header = struct.pack("<4sIQQ", b"GGUF", version, len(raw), len(metadata)) + pairs + bytes(infos)
    return header + bytes(-len(header) % step) + bytes(blobs)


def encode_string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def encode_value(value: Value) -> bytes:
    """A value with its type in front. Python's int, float, bool and str become u32, f32, bool and str."""
    typed = value if isinstance(value, Typed) else _infer(value)
    if not typed.kind.startswith("arr:"):
        return struct.pack("<I", KINDS[typed.kind]) + _encode_items(typed.kind, [typed.value])
    kind = typed.kind.removeprefix("arr:")
    assert isinstance(typed.value, Sequence)
    head = struct.pack("<IIQ", KINDS["arr"], KINDS[kind], len(typed.value))
    return head + _encode_items(kind, typed.value)


def _encode_items(kind: str, values: Sequence[object]) -> bytes:
    if kind == "str":
        return b"".join(encode_string(value) for value in values if isinstance(value, str | bytes))
    return struct.pack(f"<{len(values)}{_FORMATS[kind]}", *values)


def _infer(value: object) -> Typed:
    for python_type, kind in ((bool, "bool"), (str, "str"), (int, "u32"), (float, "f32")):
        if isinstance(value, python_type):
            return Typed(kind, value)
    assert isinstance(value, Sequence)
    kind = "str" if not value or isinstance(value[0], str) else "f32" if isinstance(value[0], float) else "i32"
    return Typed(f"arr:{kind}", value)


def _raw(tensor: Tensor) -> RawTensor:
    if isinstance(tensor, RawTensor):
        return tensor
    return RawTensor(tuple(reversed(tensor.shape)), 0, tensor.astype("<f4").tobytes())


def _metadata(tokenizer: str, tokens: list[str], token_types: list[int]) -> dict[str, Value]:
    common: dict[str, Value] = {
        "general.architecture": "llama",
        "general.name": "Tiny",
        "general.file_type": 0,
        "llama.context_length": N_CTX_TRAIN,
        "llama.embedding_length": N_EMBD,
        "llama.block_count": N_LAYER,
        "llama.feed_forward_length": N_FF,
        "llama.attention.head_count": N_HEAD,
        "llama.attention.head_count_kv": N_HEAD_KV,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.freq_base": 10000.0,
        "tokenizer.ggml.model": tokenizer,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": token_types,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": CHATML,
    }
    if tokenizer == "llama":
        return common | {"tokenizer.ggml.scores": [-float(n) for n in range(len(tokens))]}
    return common | {"tokenizer.ggml.pre": "smollm", "tokenizer.ggml.merges": ["h e", "l l", "he ll", "hell o"]}


def _weights(n_vocab: int, random: np.random.Generator) -> dict[str, Tensor]:
    def matrix(rows: int, columns: int) -> npt.NDArray[np.float32]:
        return random.normal(0, columns**-0.5, (rows, columns)).astype(np.float32)

    n_kv = N_EMBD // N_HEAD * N_HEAD_KV
    weights: dict[str, Tensor] = {
        "token_embd.weight": matrix(n_vocab, N_EMBD),
        "output_norm.weight": np.ones(N_EMBD, np.float32),
        "output.weight": matrix(n_vocab, N_EMBD) * np.float32(4),
    }
    for layer in range(N_LAYER):
        block = {
            "attn_norm": np.ones(N_EMBD, np.float32),
            "attn_q": matrix(N_EMBD, N_EMBD),
            "attn_k": matrix(n_kv, N_EMBD),
            "attn_v": matrix(n_kv, N_EMBD),
            "attn_output": matrix(N_EMBD, N_EMBD),
            "ffn_norm": np.ones(N_EMBD, np.float32),
            "ffn_gate": matrix(N_FF, N_EMBD),
            "ffn_up": matrix(N_FF, N_EMBD),
            "ffn_down": matrix(N_EMBD, N_FF),
        }
        weights |= {f"blk.{layer}.{name}.weight": tensor for name, tensor in block.items()}
    return weights


def _byte_letters() -> list[str]:
    """The letter that byte-level BPE (GPT-2) writes for each byte: itself where printable, else one from 256 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}
    return [letters[byte] for byte in range(256)]
