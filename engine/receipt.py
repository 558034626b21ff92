"""What a load took, beside what it was planned to take."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class BufferKind(StrEnum):
    """What llama.cpp keeps in a buffer. STATE is that of recurrent layers, OUTPUT the logits that the host reads."""

    WEIGHTS = "weights"
    KV = "kv"
    STATE = "state"
    COMPUTE = "compute"
    OUTPUT = "output"
    ADAPTER = "adapter"


class BufferUse(msgspec.Struct, frozen=True):
    """A buffer as llama.cpp's log names it; several of one name and kind are one. ``device`` is ggml's name for it.

    Memory of the host that a GPU can read (CUDA_Host) belongs to the processor.
    """

    device: str
    name: str
    kind: BufferKind
    size_bytes: int


class DeviceMemory(msgspec.Struct, frozen=True):
    """``index`` and ``name`` are those of ggml's registry. ``free_bytes`` is what the device itself says."""

    index: int
    name: str
    total_bytes: int
    free_bytes: int


class PlannedShare(msgspec.Struct, frozen=True):
    """What a plan gives to a device. ``other_bytes`` is what no buffer has: kernels, workspaces, pools."""

    device: str
    weights_bytes: int = 0
    kv_bytes: int = 0
    compute_bytes: int = 0
    draft_bytes: int = 0
    other_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.kv_bytes + self.compute_bytes + self.draft_bytes + self.other_bytes


class DeviceUse(msgspec.Struct, frozen=True):
    """One device in a receipt. ``planned`` is None where nothing was planned.

    ``free_before_bytes`` was read when the device's driver was awake and nothing was loaded.
    """

    device: str
    total_bytes: int
    free_before_bytes: int
    free_after_bytes: int
    planned: PlannedShare | None = None

    @property
    def taken_bytes(self) -> int:
        """What went away meanwhile. Other programs count, too; of the processor's memory it says little."""
        return self.free_before_bytes - self.free_after_bytes


class Receipt(msgspec.Struct, frozen=True):
    """Every buffer and every device of a load, measured."""

    buffers: tuple[BufferUse, ...] = ()
    devices: tuple[DeviceUse, ...] = ()

    def measured_bytes(self, device: str, kind: BufferKind | None = None) -> int:
        """Of the buffers on a device, of one kind or of all."""
        return sum(
            buffer.size_bytes for buffer in self.buffers if buffer.device == device and kind in (None, buffer.kind)
        )

    def other_bytes(self, use: DeviceUse) -> int:
        """What a device lost beyond the buffers on it: kernels, workspaces, pools."""
        return max(0, use.taken_bytes - self.measured_bytes(use.device))
