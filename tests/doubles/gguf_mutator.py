"""Model files that are wrong in every way that their makers, a network or an attacker could think of.

Deterministic: the same cases in the same order, each with a label that says what was done. All begin as the tiny model
of ``tests.doubles.gguf``, which llama.cpp really loads.
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.gguf import GGML_TYPES, read_header
from tests.doubles.architectures import make_tiny_bert, make_tiny_gemma, make_tiny_mamba
from tests.doubles.gguf import RawTensor, Tensor, Typed, Value, make_tiny_gguf, tiny_vocabulary

N_BIT_FLIPS = 500
N_BLOCKS_OF_NOISE = 150
N_OF_OTHERS = 160
SEED = 7
TOKENIZERS = ("gpt2", "llama")


@dataclass(frozen=True)
class Mutation:
    label: str
    data: bytes


def mutations(folder: Path) -> Iterator[Mutation]:
    """Every case. ``folder`` is where files are put together, one after the other."""
    tiny = _Tiny(folder)
    for tokenizer in TOKENIZERS:
        yield from _settings(tiny, tokenizer)
        yield from _vocabularies(tiny, tokenizer)
    yield from _further_settings(tiny)
    yield from _tensors(tiny)
    yield from _raw(tiny)
    yield from _others(folder)


class _Tiny:
    def __init__(self, folder: Path) -> None:
        self._path = folder / "mutated.gguf"
        self.whole = self.make("")
        header = read_header(make_tiny_gguf(self._path))
        self.data_offset = header.data_offset
        self.keys = tuple(header.metadata)
        self.tensors = {tensor.name: tensor.shape for tensor in header.tensors}

    def make(
        self,
        label: str,
        metadata: dict[str, Value | None] | None = None,
        tensors: dict[str, Tensor | None] | None = None,
        tokenizer: str = "gpt2",
    ) -> Mutation:
        made = make_tiny_gguf(self._path, metadata=metadata, tensors=tensors, tokenizer=tokenizer)
        return Mutation(label, made.read_bytes())


_NUMBERS = (0, 1, 2, 3, 5, 7, 33, 64, 127, 255, 512, 513, 4097, 65_535, 2**31 - 1, 2**31, 2**32 - 1)
_FLOATS = (0.0, -0.0, -1.0, 1e-45, 1e-30, 0.5, 1e30, 3.4e38, math.inf, -math.inf, math.nan)
_ODD: tuple[tuple[str, Value | None], ...] = (
    ("missing", None),
    ("-1", Typed("i32", -1)),
    ("i64 min", Typed("i64", -(2**63))),
    ("u64 max", Typed("u64", 2**64 - 1)),
    ("u8", Typed("u8", 2)),
    ("bool", True),
    ("text", "x"),
    ("empty text", ""),
    ("long text", "y" * 70_000),
    ("text of zeros", "a\0b\0"),
    ("no items", Typed("arr:u32", [])),
    ("one item", Typed("arr:u32", [1])),
    ("two items", Typed("arr:i32", [2, -1])),
    ("many items", Typed("arr:u32", [2] * 600)),
    ("texts", Typed("arr:str", ["a", "b"])),
    ("floats", Typed("arr:f32", [math.nan, math.inf])),
    ("double", Typed("f64", 1e300)),
)


def _settings(tiny: _Tiny, tokenizer: str) -> Iterator[Mutation]:
    """Every setting of the model with every odd value, and numbers with every number."""
    for key in tiny.keys:
        if key.startswith("general.") and tokenizer != "gpt2":
            continue
        for what, value in _ODD:
            yield tiny.make(f"{tokenizer} {key} {what}", {key: value}, tokenizer=tokenizer)
        if key.startswith("llama.") and tokenizer == "gpt2":
            for number in _NUMBERS:
                yield tiny.make(f"{key} = {number}", {key: number})
            for float_ in _FLOATS:
                yield tiny.make(f"{key} = {float_}", {key: float(float_)})


def _further_settings(tiny: _Tiny) -> Iterator[Mutation]:
    """Settings that the tiny model does without."""
    numbers = (
        "expert_count",
        "expert_used_count",
        "expert_group_count",
        "expert_shared_count",
        "nextn_predict_layers",
        "rope.dimension_count",
        "attention.key_length",
        "attention.value_length",
        "attention.sliding_window",
        "attention.sliding_window_pattern",
        "vocab_size",
        "embedding_length_out",
        "leading_dense_block_count",
        "tensor_data_layout",
        "pooling_type",
    )
    for key in numbers:
        for number in (*_NUMBERS[:4], 8, 32, 64, 1024, 1025, 2**31 - 1, 2**32 - 1):
            yield tiny.make(f"{key} = {number}", {f"llama.{key}": number})
    for key in ("rope.scaling.factor", "rope.scaling.attn_factor", "logit_scale", "residual_scale", "attention.scale"):
        for float_ in _FLOATS:
            yield tiny.make(f"{key} = {float_}", {f"llama.{key}": float(float_)})
    experts = {"llama.expert_count": 4, "llama.expert_used_count": 2}
    for used in (0, 1, 4, 5, 2**31):
        yield tiny.make(f"{used} of 4 experts", experts | {"llama.expert_used_count": used})
    yield from _declarations(tiny)


def _declarations(tiny: _Tiny) -> Iterator[Mutation]:
    """What a file says that it is."""
    for kind in ("linear", "yarn", "longrope", "none", "", "quantum"):
        yield tiny.make(f"rope scaling {kind}", {"llama.rope.scaling.type": kind})
    for alignment in (0, 1, 3, 8, 16, 31, 48, 64, 4096, 2**20, 2**21, 2**31, 2**32 - 1):
        yield tiny.make(f"alignment {alignment}", {"general.alignment": Typed("u32", alignment)})
    for architecture in ("", "future", "llama4", "mamba", "gemma3", "bert", "t5", "qwen2moe", "rwkv7", "clip", "gpt2"):
        yield tiny.make(f"architecture {architecture}", {"general.architecture": architecture})
    for kind in ("model", "adapter", "mmproj", "imatrix", "dataset", ""):
        yield tiny.make(f"type {kind}", {"general.type": kind})
    for count, number in ((2, 0), (2, 1), (0, 0), (65_535, 0), (3, 7)):
        split: dict[str, Value | None] = {"split.count": Typed("u16", count), "split.no": Typed("u16", number)}
        yield tiny.make(f"part {number} of {count}", split)


def _vocabularies(tiny: _Tiny, tokenizer: str) -> Iterator[Mutation]:
    tokens, types = tiny_vocabulary(tokenizer)
    n_tokens = len(tokens)
    lists: dict[str, list[str] | list[bytes]] = {
        "all alike": ["same"] * n_tokens,
        "the first twice": [tokens[0], tokens[0], *tokens[2:]],
        "the last twice": [*tokens[:-1], tokens[-2]],
        "all empty": [""] * n_tokens,
        "one empty": ["", *tokens[1:]],
        "no bytes": [token if len(token) > 1 else f"word{n}" for n, token in enumerate(tokens)],
        "one byte missing": [token if n != 100 else "gone" for n, token in enumerate(tokens)],
        "none": [],
        "one": tokens[:1],
        "one fewer": tokens[:-1],
        "one more": [*tokens, "more"],
        "twice as many": tokens + [f"extra{n}" for n in range(n_tokens)],
        "very long": ["z" * 100_000, *tokens[1:]],
        "with zeros": ["a\0b", *tokens[1:]],
        "no text": [b"\xff\xfe\x00", *(token.encode() for token in tokens[1:])],
        "line breaks": ["\n", "\r\n", *tokens[2:]],
    }
    for what, texts in lists.items():
        yield tiny.make(
            f"{tokenizer} tokens: {what}", {"tokenizer.ggml.tokens": Typed("arr:str", texts)}, tokenizer=tokenizer
        )
    for number in (-1, 0, 1, 2, 3, 4, 5, 6, 7, 99, 2**31 - 1):
        value = Typed("arr:i32", [number] * n_tokens)
        yield tiny.make(f"{tokenizer} token types {number}", {"tokenizer.ggml.token_type": value}, tokenizer=tokenizer)
    for what, items in (("fewer", types[:5]), ("none", []), ("more", types * 2)):
        value = Typed("arr:i32", items)
        yield tiny.make(f"{tokenizer} token types: {what}", {"tokenizer.ggml.token_type": value}, tokenizer=tokenizer)
    for model in ("none", "no_vocab", "bert", "rwkv", "t5", "plamo2", "gemma4", "gpt2", "llama", "whitespace", ""):
        yield tiny.make(f"{tokenizer} as {model}", {"tokenizer.ggml.model": model}, tokenizer=tokenizer)
    for pre in ("default", "llama3", "qwen2", "deepseek-llm", "gpt-4o", "future", "bert-bge", ""):
        yield tiny.make(f"{tokenizer} pre {pre}", {"tokenizer.ggml.pre": pre}, tokenizer=tokenizer)
    yield from _special_tokens(tiny, tokenizer, n_tokens)
    for what, merges in _MERGES.items():
        yield tiny.make(f"{tokenizer} merges: {what}", {"tokenizer.ggml.merges": merges}, tokenizer=tokenizer)
    for score in (math.nan, math.inf, -math.inf, 3e38):
        value = Typed("arr:f32", [score] * n_tokens)
        yield tiny.make(f"{tokenizer} scores {score}", {"tokenizer.ggml.scores": value}, tokenizer=tokenizer)


_MERGES: dict[str, Value | None] = {
    "without a space": Typed("arr:str", ["he"]),
    "only a space": Typed("arr:str", [" "]),
    "empty": Typed("arr:str", [""]),
    "three words": Typed("arr:str", ["h e l"]),
    "unknown": Typed("arr:str", ["q zzz"]),
    "twice": Typed("arr:str", ["h e", "h e"]),
    "none": Typed("arr:str", []),
    "numbers": Typed("arr:i32", [1, 2]),
    "long": Typed("arr:str", ["x" * 50_000 + " y"]),
}


def _special_tokens(tiny: _Tiny, tokenizer: str, n_tokens: int) -> Iterator[Mutation]:
    names = (
        "bos",
        "eos",
        "eot",
        "eom",
        "unknown",
        "padding",
        "seperator",
        "mask",
        "cls",
        "fim_pre",
        "prefix",
        "suffix",
    )
    for name in names:
        for number in (n_tokens, 2**31 - 1, 2**32 - 1):
            key = f"tokenizer.ggml.{name}_token_id"
            yield tiny.make(f"{tokenizer} {name} = {number}", {key: number}, tokenizer=tokenizer)


def _tensors(tiny: _Tiny) -> Iterator[Mutation]:
    for name, shape in tiny.tensors.items():
        yield tiny.make(f"{name} missing", tensors={name: None})
        for what, other in _shapes(shape).items():
            n_bytes = 4 * math.prod(other) if math.prod(other) < 2**24 else 64
            yield tiny.make(f"{name} {what}", tensors={name: RawTensor(other, 0, bytes(n_bytes))})
        for offset in (1, 32, 2**40, 2**63, 2**64 - 32):
            data = bytes(4 * math.prod(shape))
            yield tiny.make(f"{name} at {offset}", tensors={name: RawTensor(shape, 0, data, offset)})
        for what, value in (("NaN", math.nan), ("infinite", math.inf), ("huge", 3e38)):
            if "0" in name or "." not in name.removesuffix(".weight"):
                filled = np.full(tuple(reversed(shape)), value, np.float32)
                yield tiny.make(f"{name} all {what}", tensors={name: filled})
    for name in ("token_embd.weight", "output_norm.weight", "blk.0.attn_q.weight", "blk.1.ffn_norm.weight"):
        shape = tiny.tensors[name]
        for number in (*GGML_TYPES, 4, 31, 36, 43, 99, 2**31, 2**32 - 1):
            known = GGML_TYPES.get(number)
            n_bytes = 4 * math.prod(shape)
            if known is not None:
                n_bytes = math.prod(shape) // known.block_size * known.block_bytes
            yield tiny.make(f"{name} of type {number}", tensors={name: RawTensor(shape, number, bytes(n_bytes))})
    for name in ("", "x" * 63, "x" * 64, "blk.0.attn_q.weight\0", "blk.999999.attn_q.weight", "rope_freqs.weight"):
        yield tiny.make(f"also a tensor {name[:30]!r}", tensors={name: np.ones(8, np.float32)})


def _shapes(shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
    return {
        "empty": (0, *shape[1:]),
        "without dimensions": (),
        "turned": tuple(reversed((*shape, 1))),
        "half": (shape[0] // 2, *shape[1:]),
        "double": (shape[0] * 2, *shape[1:]),
        "one more": (*shape[:-1], shape[-1] + 1),
        "four dimensions": (*shape, 1, 1)[:4],
        "2^31 long": (2**31, *shape[1:]),
        "2^62 long": (2**62, *shape[1:]),
    }


def _raw(tiny: _Tiny) -> Iterator[Mutation]:
    """Without respect for what the bytes mean."""
    whole, n_header = tiny.whole.data, tiny.data_offset
    for name, at in (("version", 4), ("n_tensors", 8), ("n_pairs", 16), ("first key", 24)):
        for number in (0, 1, 2, 3, 4, 2**16, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1):
            width = 4 if name == "version" else 8
            changed = (number % 2 ** (8 * width)).to_bytes(width, "little")
            yield Mutation(f"{name} = {number}", whole[:at] + changed + whole[at + width :])
    for length in [*range(0, 64, 4), *range(64, n_header, n_header // 60), *range(n_header, len(whole), 40_009)]:
        yield Mutation(f"cut after {length}", whole[:length])
    for start in (b"", b"GGML", b"PK\x03\x04", b"<!doctype html>", b"\0" * 4096, b"\xff" * 4096, b"GGUF" * 100):
        yield Mutation(f"begins with {start[:16]!r}", start + whole[len(start) :])
    yield from _noise("", whole, n_header, N_BIT_FLIPS, N_BLOCKS_OF_NOISE)


def _others(folder: Path) -> Iterator[Mutation]:
    """Models of other architectures, of which little is known here: with noise in their headers."""
    path = folder / "other.gguf"
    for name, make in (("mamba", make_tiny_mamba), ("gemma", make_tiny_gemma), ("bert", make_tiny_bert)):
        make(path)
        n_header = read_header(path).data_offset
        yield from _noise(f"{name} ", path.read_bytes(), n_header, N_OF_OTHERS, N_OF_OTHERS // 2)
        path.unlink()


def _noise(label: str, whole: bytes, n_header: int, n_flips: int, n_blocks: int) -> Iterator[Mutation]:
    chance = random.Random(f"{SEED}{label}")
    for number in range(n_flips):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 1, 2, 8))):
            data[chance.randrange(n_header)] ^= 1 << chance.randrange(8)
        yield Mutation(f"{label}bits flipped {number}", bytes(data))
    for number in range(n_blocks):
        data, at = bytearray(whole), chance.randrange(n_header - 8)
        nasty = chance.choice((0, 1, 2**31, 2**32, 2**63, 2**64 - 1, chance.getrandbits(64)))
        struct.pack_into("<Q", data, at, nasty)
        yield Mutation(f"{label}noise {number}", bytes(data))
