"""What of a model goes where, how fast it will be, and why: pure, from a header and the devices as values."""

from engine.plan.planner import plan, smaller
from engine.plan.shape import LayerShape, ModelShape, Part
from engine.plan.types import (
    CPU_DEVICE,
    Corrections,
    Device,
    DeviceKind,
    DeviceShare,
    KvType,
    MemoryPlan,
    Verdict,
    Wishes,
)

__all__ = [
    "CPU_DEVICE",
    "Corrections",
    "Device",
    "DeviceKind",
    "DeviceShare",
    "KvType",
    "LayerShape",
    "MemoryPlan",
    "ModelShape",
    "Part",
    "Verdict",
    "Wishes",
    "plan",
    "smaller",
]
