"""A plan as the settings of a load."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from engine.config import EngineConfig
from engine.plan import Device, MemoryPlan
from engine.receipt import PlannedShare

_USUAL = EngineConfig()


def config_of(plan: MemoryPlan, devices: Sequence[Device], base: EngineConfig = _USUAL) -> EngineConfig:
    """``base`` with what the plan decides. GPUs that get nothing are not named: their drivers stay asleep."""
    gpus = sorted((device for device in devices if device.is_gpu), key=lambda device: device.index)
    taken = {share.device.name for share in plan.shares if share.device.is_gpu and share.total_bytes > 0}
    parts = {gpu.name: part for gpu, part in zip(gpus, plan.tensor_split, strict=False)}
    used = [gpu.name for gpu in gpus if gpu.name in taken]
    split = tuple(parts.get(name, 0.0) for name in used) if len(used) > 1 else ()
    return replace(
        base,
        n_ctx=plan.n_ctx,
        n_gpu_layers=plan.n_gpu_layers if used else 0,
        devices=tuple(used),
        tensor_split=split if any(split) else (),
        tensor_overrides=plan.overrides if used else (),
        kv_type_k=plan.kv_type.value,
        kv_type_v=plan.kv_type.value,
        flash_attention=plan.flash_attention,
        use_mmap=plan.use_mmap,
        swa_full=plan.swa_full,
    )


def planned_shares(plan: MemoryPlan) -> tuple[PlannedShare, ...]:
    """For the receipt."""
    return tuple(
        PlannedShare(
            share.device.name,
            share.weights_bytes,
            share.kv_bytes,
            share.compute_bytes,
            share.draft_bytes,
            share.other_bytes,
        )
        for share in plan.shares
    )
