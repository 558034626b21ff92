"""How a model is to be loaded."""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

from engine.receipt import PlannedShare

KV_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
"""Types of keys and values, by ggml's names."""

_PLAIN_KV_TYPES = KV_TYPES[:3]
_MAX_OVERRIDES = 4096


class EngineConfig(msgspec.Struct, frozen=True):
    """Settings of one load. None means "choose by looking at the model and the machine"."""

    n_ctx: int | None = None
    n_batch: int = 2048
    n_ubatch: int = 512
    n_threads: int | None = None
    n_gpu_layers: int | None = None
    n_parallel: int = 8
    device_sampling: bool | None = None
    """Draw tokens where the logits are, and not on the host. None: where the model's output is on a GPU."""

    devices: tuple[str, ...] | None = None
    """The GPUs to use, by ggml's names; none at all is the processor alone. None: those that llama.cpp takes."""

    tensor_split: tuple[float, ...] = ()
    """How many of the layers on GPUs each of ``devices`` gets, in proportion. Empty: by their free memory."""

    tensor_overrides: tuple[tuple[str, str], ...] = ()
    """Pairs of a regular expression for tensor names and the device that keeps them instead ("CPU", "CUDA1")."""

    kv_type_k: str | None = None
    kv_type_v: str | None = None
    """Of ``KV_TYPES``; None is f16. Quantised values need flash attention."""

    flash_attention: bool | None = None
    use_mmap: bool | None = None
    swa_full: bool | None = None
    """Whether layers with a sliding window keep the whole context all the same. None: where there is memory for it."""

    def problem(self) -> str | None:
        """The first setting that is out of range, as a sentence, or None."""
        ranges = (
            ("n_ctx", self.n_ctx, 256, 4_194_304),
            ("n_batch", self.n_batch, 32, 16_384),
            ("n_ubatch", self.n_ubatch, 32, self.n_batch),
            ("n_threads", self.n_threads, 1, 512),
            ("n_parallel", self.n_parallel, 1, 64),
            ("n_gpu_layers", self.n_gpu_layers, 0, 10_000),
        )
        for name, value, low, high in ranges:
            if value is not None and not low <= value <= high:
                return f"{name} is {value}, but it must lie between {low} and {high}."
        return self._placement_problem()

    def _placement_problem(self) -> str | None:
        for name, value in (("kv_type_k", self.kv_type_k), ("kv_type_v", self.kv_type_v)):
            if value is not None and value not in KV_TYPES:
                return f"{name} is {value}, but it must be one of {', '.join(KV_TYPES)}."
        if self.flash_attention is False and self.kv_type_v not in (None, *_PLAIN_KV_TYPES):
            return f"Values of type {self.kv_type_v} need flash attention, which is turned off."
        if any(not part >= 0 for part in self.tensor_split):
            return "The parts of tensor_split must not be negative."
        if self.devices is not None and len(self.tensor_split) > len(self.devices):
            return f"tensor_split has {len(self.tensor_split)} parts for {len(self.devices)} devices."
        if len(self.tensor_overrides) > _MAX_OVERRIDES:
            return f"There may be no more than {_MAX_OVERRIDES} tensor_overrides."
        return next(
            (f"{pattern} is no regular expression." for pattern, _ in self.tensor_overrides if _is_bad(pattern)), None
        )


def _is_bad(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return True
    return not pattern


class DraftMode(StrEnum):
    """Whether tokens are drafted: as long as it pays, never, or always as many as are said."""

    AUTOMATIC = "automatic"
    OFF = "off"
    FIXED = "fixed"


class DraftConfig(msgspec.Struct, frozen=True):
    """How the next tokens are guessed before the model computes them. ``model`` is the file of one that guesses.

    ``n_tokens`` is what a draft has with DraftMode.FIXED.
    """

    mode: DraftMode = DraftMode.AUTOMATIC
    model: str | None = None
    n_tokens: int = 4


class CacheConfig(msgspec.Struct, frozen=True):
    """What the KV cache may take beyond the cells themselves. Without a folder nothing is kept on disk."""

    ram_bytes: int = 2 << 30
    disk_bytes: int = 8 << 30
    folder: str | None = None


class LoadSpec(msgspec.Struct, frozen=True):
    """A model file and how to load it."""

    path: str
    config: EngineConfig = EngineConfig()
    cache: CacheConfig = CacheConfig()
    drafting: DraftConfig = DraftConfig()
    planned: tuple[PlannedShare, ...] = ()
    """What the config is expected to take, for the receipt."""

    name: str = ""
    """What a person calls the model, where its file's name says nothing."""
