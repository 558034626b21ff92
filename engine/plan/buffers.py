"""Compute buffers: what llama.cpp reserves for the largest batch on each device, from the shapes alone.

A device's buffer is as large as what lives at the same time at the worst moment: in the attention, in the feed-forward
part, or where the logits are made, and the masks besides. The numbers of rows were found with llama.cpp's own dry run
over headers of many families, and on an H200; where a file is here, that dry run takes the place of this.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.plan.cache import CacheSettings
from engine.plan.shape import ModelShape, Part
from engine.plan.types import Device

_F32, _F16 = 4, 2
_COPIES = 4
"""Of every input, where several GPUs work on several batches at a time (GGML_SCHED_MAX_COPIES)."""
_KV_COPIES = 1.5
"""Of the cells of a layer that the CPU keeps and a GPU reads a prompt into."""
_STATE_ROWS = 5.25
_OTHER_BYTES = {"CUDA": 88 << 20, "ROCm": 160 << 20, "HIP": 160 << 20, "Vulkan": 48 << 20, "Metal": 16 << 20}
_USUAL_OTHER_BYTES = 64 << 20
_EXPERT_KERNEL_BYTES = 112 << 20
"""More of that where tokens are sorted by their experts (CUDA on an H200: 86 to 110 MB without, 192 to 240 MB with)."""
_PROCESS_BYTES = 160 << 20
_COPYING_BACKENDS = frozenset({"CUDA", "ROCm", "HIP", "MUSA", "Vulkan", "SYCL"})
"""They read prompts with weights that the CPU keeps, and copy these for it."""
_CONVERTING_BACKENDS = frozenset({"CUDA", "ROCm", "HIP", "MUSA"})
"""Their flash attention reads prompts in F16 and converts the cells of a layer for it."""


@dataclass(frozen=True, slots=True)
class Guests:
    """Weights of the CPU that a GPU borrows for prompts: the largest feed-forward or expert tensor, and of layers that
    are the CPU's altogether the largest of the rest, with the cells of one."""

    feed_forward_bytes: int = 0
    rest_bytes: int = 0
    cells_bytes: int = 0

    @classmethod
    def of(cls, parts: list[Part], layers: list[Part], cells_bytes: int) -> Guests:
        """``parts``: feed-forward and experts of the CPU; ``layers``: the rest of the layers that are its own."""
        return cls(
            max((part.largest_bytes for part in parts), default=0),
            max((part.largest_bytes for part in layers), default=0),
            cells_bytes,
        )


NO_GUESTS = Guests()


def gpu_buffer(shape: ModelShape, settings: CacheSettings, device: Device, guests: Guests = NO_GUESTS) -> int:
    """Of a GPU that has layers."""
    if device.backend not in _COPYING_BACKENDS:
        guests = NO_GUESTS
    attention = _attention(shape, settings)
    if settings.kv_type.is_quantized and device.backend in _CONVERTING_BACKENDS:
        attention += _F16 * _widest_layer(shape) * settings.n_cells
    if guests.rest_bytes:
        attention += guests.rest_bytes + int(_KV_COPIES * guests.cells_bytes)
    feed_forward = _feed_forward(shape, settings, guests.feed_forward_bytes)
    layers = max(attention, feed_forward, _states(shape, settings)) + _masks(shape, settings)
    return max(layers, _output(shape, settings))


def pipeline_bytes(shape: ModelShape, settings: CacheSettings, *, is_first: bool) -> int:
    """What a GPU takes on top where several share all layers of a model."""
    rows = _F32 * settings.n_tokens * shape.widths.embedding
    return (_COPIES - 1) * _masks(shape, settings) + _COPIES * rows * (1 if is_first else 2)


def host_buffer(shape: ModelShape, settings: CacheSettings, *, has_gpu: bool) -> int:
    """Of the CPU, logits included; beside a GPU it only holds what goes in and out."""
    logits = _F32 * settings.n_sequences * shape.n_vocab
    rows = _F32 * settings.n_tokens * shape.widths.embedding
    if has_gpu:
        return 2 * rows + _masks(shape, settings) + logits
    peaks = (_attention(shape, settings), _feed_forward(shape, settings, 0), _states(shape, settings))
    return max(max(peaks) + rows + _masks(shape, settings), _output(shape, settings)) + logits


def other_bytes(device: Device, *, has_experts: bool = False) -> int:
    """What a device takes beyond all buffers: kernels that are loaded with their first use, pools."""
    if not device.is_gpu:
        return _PROCESS_BYTES
    return _OTHER_BYTES.get(device.backend, _USUAL_OTHER_BYTES) + _EXPERT_KERNEL_BYTES * has_experts


def _masks(shape: ModelShape, settings: CacheSettings) -> int:
    """Which token sees which cell: one for all layers, and one for those with a window."""
    cells = settings.n_cells if any(layer.cache.key_width for layer in shape.layers) else 0
    if shape.window:
        cells += settings.n_window_cells
    return (_F16 if settings.flash_attention else _F32) * settings.n_tokens * cells


def _attention(shape: ModelShape, settings: CacheSettings) -> int:
    widths = shape.widths
    if widths.latent_key:
        rows = widths.n_heads * (widths.key + widths.value + widths.latent_key) + 4 * widths.embedding
    else:
        rows = widths.embedding + 3 * widths.n_heads * widths.key
    scores = 0 if settings.flash_attention else widths.n_heads * settings.n_cells + _widest_layer(shape)
    return _F32 * settings.n_tokens * (rows + scores)


def _feed_forward(shape: ModelShape, settings: CacheSettings, guest_bytes: int) -> int:
    widths, tokens = shape.widths, _F32 * settings.n_tokens
    dense = experts = 0
    if any(layer.feed_forward.size_bytes for layer in shape.layers):
        beside = 4 if shape.architecture == "cohere2" else 3  # its attention and feed-forward parts run side by side
        dense = tokens * (beside * widths.embedding + 3 * widths.feed_forward)
        if guest_bytes:
            dense = max(dense, tokens * (5 * widths.embedding + 2 * widths.feed_forward) + guest_bytes)
    if shape.has_experts:
        each = 2 * widths.embedding + widths.expert
        experts = tokens * (2 * widths.embedding + shape.n_experts_used * each) + guest_bytes
    return max(dense, experts)


def _output(shape: ModelShape, settings: CacheSettings) -> int:
    return _F32 * settings.n_sequences * (shape.n_vocab + 2 * shape.widths.embedding)


def _states(shape: ModelShape, settings: CacheSettings) -> int:
    return int(_F32 * settings.n_tokens * _STATE_ROWS * shape.widths.inner)


def _widest_layer(shape: ModelShape) -> int:
    return max((layer.cache.key_width + layer.cache.value_width for layer in shape.layers), default=0)
