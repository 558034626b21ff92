"""From a model and the user's wishes to a load, and from one that did not fit to the next smaller one."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec.structs import replace as with_fields

from app.library import ModelEntry
from app.plans.applied import config_of, planned_shares
from app.plans.planner import Planner
from app.settings import LoadWishes
from engine.backend.dryrun import dry_run
from engine.client.memory import Shrunk
from engine.client.process import worker_environment
from engine.config import LoadSpec
from engine.errors import EngineStopped
from engine.plan import Corrections, Device, KvType, MemoryPlan, ModelShape, Wishes, plan, smaller

_logger = logging.getLogger(__name__)

_MOST_DRY_RUNS = 2
_MOST_ON_GPUS = 3
"""After so many smaller plans that did not fit either, what the GPUs say of their memory is not believed."""


@dataclass(frozen=True, slots=True)
class _Made:
    """What a load was made of."""

    plan: MemoryPlan
    shape: ModelShape
    wishes: Wishes
    devices: tuple[Device, ...]
    corrections: Corrections
    n_shrunk: int = 0


class Loader:
    """Remembers what it planned, for the case that memory runs out. Thread: any; methods block."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._lock = threading.Lock()
        self._made: dict[str, _Made] = {}

    def spec(self, entry: ModelEntry, wishes: LoadWishes, usual: LoadSpec) -> LoadSpec:
        """How to load it now: ``usual`` with what the plan decides. Raises ModelFileError.

        Where the devices cannot be asked, llama.cpp chooses.
        """
        shape = self._planner.shape_of(entry)
        asked = self._wishes(wishes, usual)
        try:
            devices = self._planner.devices_now()
        except EngineStopped as error:
            _logger.warning("loading without a plan: %s", error)
            return with_fields(usual, config=with_fields(usual.config, n_ctx=asked.n_ctx))
        corrections = self._planner.corrections(entry)
        made = _Made(plan(shape, devices, asked, corrections), shape, asked, devices, corrections)
        return self._remember(usual, self._weighed(usual, made))

    def plan_of(self, path: str) -> MemoryPlan | None:
        """What the file was loaded with, or is to be."""
        with self._lock:
            made = self._made.get(path)
        return made.plan if made is not None else None

    def shrink(self, failed: LoadSpec) -> Shrunk | None:
        """What to try after memory ran out: what fits now, where others took memory, or else the next smaller plan."""
        with self._lock:
            made = self._made.get(failed.path)
        if made is None:
            return None
        devices = self._planner.devices_now()
        fresh = self._next(made, devices)
        if fresh is None:
            return None
        spec = self._remember(failed, replace(made, plan=fresh, devices=devices, n_shrunk=made.n_shrunk + 1))
        return Shrunk(spec, _changes(made.plan, fresh))

    def _next(self, made: _Made, devices: tuple[Device, ...]) -> MemoryPlan | None:
        if not _gpu_bytes(made.plan):
            return smaller(made.plan, made.shape, devices, made.wishes, made.corrections)
        if made.n_shrunk >= _MOST_ON_GPUS:
            host = tuple(device for device in devices if not device.is_gpu)
            free = replace(made.wishes, n_gpu_layers=None, experts_on_cpu=None)
            return plan(made.shape, host, free, made.corrections)
        limits = {share.device.index: share.total_bytes for share in made.plan.shares if share.device.is_gpu}
        fresh = plan(made.shape, devices, replace(made.wishes, max_bytes=limits), made.corrections)
        if _gpu_bytes(fresh) < _gpu_bytes(made.plan):
            return fresh
        return smaller(made.plan, made.shape, devices, made.wishes, made.corrections)

    def _weighed(self, usual: LoadSpec, made: _Made) -> _Made:
        """The same with llama.cpp's own word on compute buffers, where a GPU is planned for."""
        names = {device.name: device.index for device in made.devices}
        for _ in range(_MOST_DRY_RUNS if _gpu_bytes(made.plan) else 0):
            config = config_of(made.plan, made.devices, usual.config)
            try:
                found = dry_run(with_fields(usual, config=config), worker_environment(os.environ))
            except EngineStopped as error:
                _logger.info("no dry run: %s", error)
                return made
            exact = {names[name]: size for name, size in found.compute_bytes().items() if name in names}
            corrections = replace(made.corrections, compute_bytes=exact)
            again = plan(made.shape, made.devices, made.wishes, corrections)
            made = replace(made, plan=again, corrections=corrections)
            if config_of(again, made.devices, usual.config) == config:
                break
        return made

    def _remember(self, usual: LoadSpec, made: _Made) -> LoadSpec:
        with self._lock:
            self._made[usual.path] = made
        config = config_of(made.plan, made.devices, usual.config)
        return with_fields(usual, config=config, planned=planned_shares(made.plan))

    def _wishes(self, wishes: LoadWishes, usual: LoadSpec) -> Wishes:
        config, draft = usual.config, usual.drafting.model
        return Wishes(
            n_ctx=wishes.n_ctx or config.n_ctx,
            kv_type=None if wishes.kv_type is None else KvType(wishes.kv_type),
            flash_attention=wishes.flash_attention,
            n_gpu_layers=wishes.n_gpu_layers,
            experts_on_cpu=wishes.experts_on_cpu,
            n_parallel=config.n_parallel,
            n_ubatch=config.n_ubatch,
            draft=None if draft is None else self._planner.shape_of(Path(draft)),
        )


def _gpu_bytes(made: MemoryPlan) -> int:
    return sum(share.total_bytes for share in made.shares if share.device.is_gpu)


def _changes(before: MemoryPlan, after: MemoryPlan) -> str:
    """One sentence for a person."""
    changes = []
    if after.n_gpu_layers != before.n_gpu_layers:
        where = (
            f"{after.n_gpu_layers} of its layers on the GPU" if after.n_gpu_layers else "all of it with the processor"
        )
        changes.append(where)
    if after.n_ffn_on_cpu != before.n_ffn_on_cpu:
        changes.append(f"the feed-forward weights of {after.n_ffn_on_cpu} layers in the machine's memory")
    if after.kv_type != before.kv_type:
        changes.append(f"a cache of type {after.kv_type.value}")
    if after.n_ctx != before.n_ctx:
        changes.append(f"a context of {after.n_ctx:,} tokens")
    return f"Memory ran out, so the model is loaded again with {_list(changes) or 'less'}."


def _list(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""
