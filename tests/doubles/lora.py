"""A LoRA adapter for the tiny model, and the same model with the adapter worked into its weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.doubles.gguf import N_EMBD, N_LAYER, Tensor, Value, encode_gguf, make_tiny_gguf

RANK, ALPHA = 4, 8.0


def make_tiny_adapter(path: Path, *, seed: int = 5, width: int = N_EMBD, **metadata: Value) -> Path:
    """It changes what every layer asks for, and strongly."""
    tensors: dict[str, Tensor] = {}
    for layer, (a, b) in enumerate(_pairs(seed, width)):
        tensors |= {f"blk.{layer}.attn_q.weight.lora_a": a, f"blk.{layer}.attn_q.weight.lora_b": b}
    described: dict[str, Value] = {
        "general.architecture": "llama",
        "general.type": "adapter",
        "general.name": "Tiny adapter",
        "general.base_model.0.name": "Tiny",
        "adapter.type": "lora",
        "adapter.lora.alpha": ALPHA,
    }
    path.write_bytes(encode_gguf(described | metadata, tensors))
    return path


def make_merged_gguf(path: Path, scale: float, *, seed: int = 5) -> Path:
    """What the tiny model and the adapter at that scale are together: W + scale * alpha / rank * B A."""
    weights = _weights(path)
    merged: dict[str, Tensor | None] = {}
    for layer, (a, b) in enumerate(_pairs(seed, N_EMBD)):
        name = f"blk.{layer}.attn_q.weight"
        merged[name] = weights[name] + np.float32(scale * ALPHA / RANK) * (b @ a)
    return make_tiny_gguf(path, tensors=merged)


def _pairs(seed: int, width: int) -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(seed)
    return [
        (
            random.normal(0, 0.4, (RANK, width)).astype(np.float32),
            random.normal(0, 0.4, (width, RANK)).astype(np.float32),
        )
        for _ in range(N_LAYER)
    ]


def _weights(path: Path) -> dict[str, np.ndarray]:
    from gguf import GGUFReader

    make_tiny_gguf(path)
    return {tensor.name: np.array(tensor.data) for tensor in GGUFReader(path).tensors}
