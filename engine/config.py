"""How a model is to be loaded."""

from __future__ import annotations

import msgspec


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
        return None


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
