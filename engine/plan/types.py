"""What a plan is made of and what it says. All sizes are bytes, all rates are per second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from engine.plan.shape import ModelShape

CPU_DEVICE = "CPU"
"""ggml's name of the device that host memory belongs to."""


class DeviceKind(StrEnum):
    """INTEGRATED shares the machine's memory with the CPU; ACCELERATOR computes out of the CPU's memory (BLAS, AMX)."""

    CPU = "cpu"
    GPU = "gpu"
    INTEGRATED = "integrated"
    ACCELERATOR = "accelerator"


@dataclass(frozen=True, slots=True)
class Device:
    """Something to compute on, as it is now. ``index`` and ``name`` are those of ggml's registry ("CUDA0", "CPU").

    ``free_bytes`` is what a load can take now: a CPU's is what the system calls available. Rates are measured, or None
    where they are not known yet:

    bandwidth_bytes_per_s: weights read by products of a matrix and a vector, the kernels' own losses included.
    matmul_flops: multiplications and additions of products with a batch of 512, each counted.
    op_latency_s: one small operation in a long graph.
    upload_bytes_per_s: from host memory to the device.
    """

    index: int
    name: str
    description: str
    backend: str
    kind: DeviceKind
    total_bytes: int
    free_bytes: int
    bandwidth_bytes_per_s: float | None = None
    matmul_flops: float | None = None
    op_latency_s: float | None = None
    upload_bytes_per_s: float | None = None

    @property
    def is_gpu(self) -> bool:
        """Whether layers can be put there."""
        return self.kind in (DeviceKind.GPU, DeviceKind.INTEGRATED)

    @property
    def has_unified_memory(self) -> bool:
        """Whether its memory is the machine's."""
        return self.kind is DeviceKind.INTEGRATED or self.backend == "Metal"


class KvType(StrEnum):
    """How keys and values are kept: the names that llama.cpp and EngineConfig know."""

    F32 = "f32"
    F16 = "f16"
    BF16 = "bf16"
    Q8_0 = "q8_0"
    Q5_1 = "q5_1"
    Q5_0 = "q5_0"
    Q4_1 = "q4_1"
    Q4_0 = "q4_0"

    @property
    def is_quantized(self) -> bool:
        return self.value.startswith("q")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a user fixed, and what a load needs besides the model. None leaves the choice to the plan.

    ``n_gpu_layers`` counts as llama.cpp does: the last ones of all layers, of which the output is one more;
    ``experts_on_cpu`` is in how many layers the experts (without experts: the feed-forward part) stay with the CPU.
    ``draft`` is a model that drafts; it, ``projector_bytes`` and ``adapters_bytes`` go to the GPU with the most room.
    ``max_bytes`` is the most to take of each device, by its index.
    """

    n_ctx: int | None = None
    kv_type: KvType | None = None
    flash_attention: bool | None = None
    n_gpu_layers: int | None = None
    experts_on_cpu: int | None = None
    n_parallel: int = 8
    n_ubatch: int = 512
    main_gpu: int | None = None
    draft: ModelShape | None = None
    projector_bytes: int = 0
    adapters_bytes: int = 0
    max_bytes: Mapping[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Corrections:
    """What receipts of earlier loads taught, by device index. Empty where there was none yet.

    compute_bytes: exact compute buffers from llama.cpp's own dry run of this very plan.
    other_bytes: what a load took on that device beyond its buffers.
    decode_factor, prefill_factor: measured by predicted speed of this model on this machine.
    """

    compute_bytes: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    other_bytes: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    decode_factor: float = 1.0
    prefill_factor: float = 1.0


class Verdict(StrEnum):
    """How a model will run, from the best to the worst.

    EXPERTS_ON_CPU: every layer's attention and cache are on a GPU, some feed-forward weights are not.
    CPU_SWAPS: the CPU computes, and its memory is not enough to hold all weights at once.
    TOO_BIG: it does not run; ``missing_bytes`` says how far it is from running.
    """

    FULL_GPU = "full_gpu"
    EXPERTS_ON_CPU = "experts_on_cpu"
    PARTIAL_GPU = "partial_gpu"
    CPU_ONLY = "cpu_only"
    CPU_SWAPS = "cpu_swaps"
    TOO_BIG = "too_big"


@dataclass(frozen=True, slots=True)
class DeviceShare:
    """What a load takes on one device. ``device`` is as it was when the plan was made.

    ``kv_bytes`` holds recurrent state too. ``other_bytes``: pools and kernels that a device's driver takes on top.
    """

    device: Device
    weights_bytes: int = 0
    kv_bytes: int = 0
    compute_bytes: int = 0
    draft_bytes: int = 0
    other_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.kv_bytes + self.compute_bytes + self.draft_bytes + self.other_bytes


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What goes where, how fast it will be, and why.

    ``n_ctx_max`` is the longest context that the same verdict allows; ``tensor_split`` has a number for each GPU in
    ``shares`` order: how many of the ``n_gpu_layers`` it gets. ``overrides`` are (regular expression of tensor names,
    device name), as llama.cpp's ``tensor_buft_overrides``: the first that matches counts. ``n_ffn_on_cpu`` is how many
    layers they keep feed-forward weights of with the CPU. ``shares`` has the GPUs in use, by index, and the CPU last.
    ``swa_full`` tells whether layers with a sliding window keep the whole context all the same. Rates are tokens per
    second in a conversation of a thousand tokens; None where a device's speed is not known, or the disk decides.
    ``sentence`` is for everyone, ``reasons`` for who asks.
    """

    verdict: Verdict
    n_ctx: int
    n_ctx_max: int
    kv_type: KvType
    flash_attention: bool
    n_gpu_layers: int
    tensor_split: tuple[float, ...]
    overrides: tuple[tuple[str, str], ...]
    shares: tuple[DeviceShare, ...]
    missing_bytes: int
    prefill_tokens_per_s: float | None
    decode_tokens_per_s: float | None
    sentence: str
    reasons: tuple[str, ...]
    n_ffn_on_cpu: int = 0
    swa_full: bool = True
    use_mmap: bool = True

    def share_of(self, name: str) -> DeviceShare | None:
        """That of the device of this name."""
        return next((share for share in self.shares if share.device.name == name), None)
