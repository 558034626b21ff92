"""Chooses: everything on GPUs if that can be, else in the order that costs the user least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.plan import words
from engine.plan.cache import CacheSettings, can_quantize
from engine.plan.placement import Placement, Room, margin_bytes
from engine.plan.shape import EXPERT_TENSORS, FEED_FORWARD_TENSORS, ModelShape
from engine.plan.speed import Speed, Unit, decode_s, predict, units_of
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

NO_WISHES, NO_CORRECTIONS = Wishes(), Corrections()
CONTEXTS = (32_768, 16_384, 8192, 4096)
"""Those that are tried, the longest first, where nobody asked for one."""
USUAL_CONTEXT, LEAST_CONTEXT = 8192, 4096
_CPU_RESERVE_BYTES = 1 << 30
_LEAST_GPU_BYTES = 192 << 20
_WORTH = {32_768: 1.0, 16_384: 0.98, 8192: 0.94, 4096: 0.82}
"""How much slower an answer may be for a longer context, where some of the model is with the CPU."""
_WORTH_OF_TYPE = {KvType.F16: 1.0, KvType.Q8_0: 0.97}
_CUTS = (0.08, 0.16, 0.3, 0.5, 0.75, 1.0)
"""How much less of each GPU is tried after it was full."""

_CONTEXT_STEP = 1024
_ORDER = tuple(Verdict)
_FLASH_HEADS = {(n, n) for n in (40, 64, 72, 80, 96, 112, 128, 256, 512)} | {(192, 128), (320, 256), (576, 512)}
"""Widths of keys and values for which CUDA has flash attention (fattn.cu); the other backends have these too."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """One way to run a model."""

    room: Room
    placement: Placement
    verdict: Verdict
    missing_bytes: int
    shares: tuple[DeviceShare, ...]

    @property
    def settings(self) -> CacheSettings:
        return self.room.settings

    @property
    def decode_s(self) -> float:
        return decode_s(self.room.shape, self.units, self.room.cpu)

    @property
    def units(self) -> list[Unit]:
        owners = self.room.units_of(self.placement)
        return units_of(self.room.shape, self.settings, owners, self.room.on_cpu(self.placement))


def plan(
    shape: ModelShape, devices: Sequence[Device], wishes: Wishes = NO_WISHES, corrections: Corrections = NO_CORRECTIONS
) -> MemoryPlan:
    """What goes where. ``devices`` must have a CPU among them. Pure; some milliseconds, with several GPUs some more."""
    planner = _Planner(shape, devices, wishes, corrections)
    choice = planner.choose()
    speed = predict(shape, choice.settings, choice.units, planner.cpu)
    speed = Speed(_times(speed.decode, corrections.decode_factor), _times(speed.prefill, corrections.prefill_factor))
    if choice.verdict in (Verdict.CPU_SWAPS, Verdict.TOO_BIG):  # the disk decides then
        speed = Speed(None, None)
    placement, settings = choice.placement, choice.settings
    return MemoryPlan(
        verdict=choice.verdict,
        n_ctx=settings.n_ctx,
        n_ctx_max=planner.longest_context(choice),
        kv_type=settings.kv_type,
        flash_attention=settings.flash_attention,
        n_gpu_layers=placement.n_gpu_layers,
        tensor_split=planner.split_of(choice),
        overrides=_overrides(choice),
        shares=choice.shares,
        missing_bytes=choice.missing_bytes,
        prefill_tokens_per_s=speed.prefill,
        decode_tokens_per_s=speed.decode,
        sentence=words.sentence(shape, choice.verdict, choice.shares, choice.missing_bytes, speed.decode),
        reasons=words.reasons(shape, wishes, settings, choice, speed),
        n_ffn_on_cpu=placement.n_ffn_on_cpu,
        swa_full=settings.swa_full,
        use_mmap=_should_map(choice),
    )


def smaller(
    before: MemoryPlan,
    shape: ModelShape,
    devices: Sequence[Device],
    wishes: Wishes = NO_WISHES,
    corrections: Corrections = NO_CORRECTIONS,
) -> MemoryPlan | None:
    """The next plan to try when ``before`` ran out of memory: it takes less of each GPU, or of the CPU where there was
    none. What the user fixed stays fixed, but for how many layers are where. None when there is nothing less."""
    used = [share for share in before.shares if share.device.is_gpu]
    fixed = replace(wishes, n_gpu_layers=None, experts_on_cpu=None)
    for cut in _CUTS if used else ():
        limits = dict(fixed.max_bytes or {})
        for share in used:
            most = int(share.total_bytes * (1 - cut))
            limits[share.device.index] = min(most, limits.get(share.device.index, most))
        after = plan(shape, devices, replace(fixed, max_bytes=limits), corrections)
        if after.verdict is not Verdict.TOO_BIG and _gpu_bytes(after) < _gpu_bytes(before):
            return after
    if used or before.n_ctx <= LEAST_CONTEXT // 2 or wishes.n_ctx is not None:
        return None
    n_ctx = max(LEAST_CONTEXT // 2, before.n_ctx // 2)
    return plan(shape, devices, replace(fixed, n_ctx=n_ctx, n_gpu_layers=0), corrections)


class _Planner:
    def __init__(self, shape: ModelShape, devices: Sequence[Device], wishes: Wishes, corrections: Corrections) -> None:
        self.shape = shape
        self.cpu = next(device for device in devices if device.kind is DeviceKind.CPU)
        self.all_gpus = tuple(sorted((device for device in devices if device.is_gpu), key=lambda gpu: gpu.index))
        self._wishes = wishes
        self._corrections = corrections
        self._gpus = tuple(filter(self._is_usable, self.all_gpus))
        self._flash = self._should_flash()

    def choose(self) -> _Choice:
        fixed = self._wishes.n_gpu_layers
        if fixed is not None or self._wishes.experts_on_cpu is not None:
            return self._as_wished()
        if self._gpus and (choice := self._on_gpus()):
            return choice
        return self._on_cpu()

    def longest_context(self, choice: _Choice) -> int:
        """With the same verdict and type. Never more than the model was trained for."""
        trained = self.shape.n_ctx_train or choice.settings.n_ctx
        low, high = choice.settings.n_ctx // _CONTEXT_STEP, trained // _CONTEXT_STEP
        if choice.verdict is Verdict.TOO_BIG:
            return choice.settings.n_ctx
        while low < high:
            middle = (low + high + 1) // 2
            if self._same_verdict(choice, middle * _CONTEXT_STEP):
                low = middle
            else:
                high = middle - 1
        return max(choice.settings.n_ctx, low * _CONTEXT_STEP)

    def split_of(self, choice: _Choice) -> tuple[float, ...]:
        counts = dict(zip((gpu.index for gpu in choice.room.gpus), choice.placement.counts, strict=True))
        return tuple(float(counts.get(gpu.index, 0)) for gpu in self.all_gpus)

    def _should_flash(self) -> bool:
        """Where a GPU has no kernel for a width of heads, the cache would go to the CPU and back with every token."""
        if self._wishes.flash_attention is not None:
            return self._wishes.flash_attention
        heads = (self.shape.widths.key, self.shape.widths.value)
        is_known = not self._gpus or heads in _FLASH_HEADS or not any(heads)
        return is_known and self.shape.architecture != "grok"

    def _is_usable(self, gpu: Device) -> bool:
        main = self._wishes.main_gpu
        return gpu.free_bytes >= _LEAST_GPU_BYTES and main in (None, gpu.index)

    def _on_gpus(self) -> _Choice | None:
        for n_ctx, kv_type in self._preferred(self._contexts()):
            room = self._room(n_ctx, kv_type)
            if placement := room.place(self.shape.n_layers + 1, 0):
                return self._judged(room, placement)
        if choice := self._with_windows_alone():
            return choice
        shared = [c for n_ctx, kv_type in self._preferred(self._contexts()) if (c := self._shared(n_ctx, kv_type))]
        if shared:
            return max(shared, key=self._worth)
        room = self._room(self._contexts()[-1], self._types()[-1])
        placement = room.most_layers()
        return self._judged(room, placement) if placement else None

    def _with_windows_alone(self) -> _Choice | None:
        """All on GPUs, if layers keep no more than their window; conversations are then kept whole, not in pages."""
        for n_ctx, kv_type in self._preferred(self._contexts()) if self.shape.window else ():
            room = self._room(n_ctx, kv_type, swa_full=False)
            placement = room.place(self.shape.n_layers + 1, 0)
            if placement and room.settings.n_window_cells < room.settings.n_cells:
                return self._judged(room, placement)
        return None

    def _shared(self, n_ctx: int, kv_type: KvType) -> _Choice | None:
        """Attention and cache on GPUs, some of the rest with the CPU."""
        room = self._room(n_ctx, kv_type)
        placement = room.fewest_ffn_on_cpu()
        return self._judged(room, placement) if placement else None

    def _on_cpu(self) -> _Choice:
        contexts = [n_ctx for n_ctx in self._contexts() if n_ctx <= USUAL_CONTEXT] or self._contexts()
        choices = []
        for n_ctx, kv_type in self._preferred(contexts):
            room = self._room(n_ctx, kv_type)
            choices.append(self._judged(room, Placement((0,) * len(self._gpus), 0)))
        return min(choices, key=lambda choice: _ORDER.index(choice.verdict))

    def _as_wished(self) -> _Choice:
        """With that many layers on GPUs, whether they fit or not; everything else is chosen around it."""
        n_gpu, n_ffn = self._wishes.n_gpu_layers, self._wishes.experts_on_cpu or 0
        choices = []
        for n_ctx, kv_type in self._preferred(self._contexts()):
            room = self._room(n_ctx, kv_type)
            n_ffn = min(n_ffn, room.n_movable)
            if not self._gpus:
                placement = Placement((), n_ffn)
            elif n_gpu is None:
                whole = room.place(self.shape.n_layers + 1, n_ffn) or room.most_layers(n_ffn)
                placement = whole or Placement((0,) * len(self._gpus), n_ffn)
            else:
                n_layers = min(n_gpu, self.shape.n_layers + 1)
                placement = room.place(n_layers, n_ffn) or room.place(n_layers, n_ffn, anyway=True) or Placement((), 0)
            choices.append(self._judged(room, placement))
        return min(choices, key=lambda choice: _ORDER.index(choice.verdict))

    def _contexts(self) -> tuple[int, ...]:
        trained = self.shape.n_ctx_train or USUAL_CONTEXT
        if self._wishes.n_ctx is not None:
            return (min(self._wishes.n_ctx, trained),)
        return tuple(dict.fromkeys(min(n_ctx, trained) for n_ctx in CONTEXTS))

    def _types(self) -> tuple[KvType, ...]:
        if self._wishes.kv_type is not None:
            return (self._wishes.kv_type,)
        return (KvType.F16, KvType.Q8_0) if self._flash and can_quantize(self.shape) else (KvType.F16,)

    def _preferred(self, contexts: tuple[int, ...] | list[int]) -> list[tuple[int, KvType]]:
        """Long contexts first; half as exact a cache rather than a context of less than usual."""
        usual, *coarse = self._types()
        long = [n_ctx for n_ctx in contexts if n_ctx >= USUAL_CONTEXT]
        short = [n_ctx for n_ctx in contexts if n_ctx < USUAL_CONTEXT]
        order = [(n_ctx, usual) for n_ctx in long] + [(n_ctx, kind) for n_ctx in long[-1:] for kind in coarse]
        return order + [(n_ctx, kind) for n_ctx in short for kind in (usual, *coarse)]

    def _room(self, n_ctx: int, kv_type: KvType, *, swa_full: bool = True) -> Room:
        flash = self._flash or kv_type.is_quantized  # which llama.cpp insists on
        settings = CacheSettings.of(self.shape, self._wishes, n_ctx, kv_type, flash_attention=flash, swa_full=swa_full)
        return Room(self.shape, settings, self._gpus, self.cpu, self._wishes, self._corrections)

    def _worth(self, choice: _Choice) -> tuple[int, float]:
        of_context = _WORTH.get(choice.settings.n_ctx, 1.0)
        of_type = _WORTH_OF_TYPE.get(choice.settings.kv_type, 1.0)
        return -_ORDER.index(choice.verdict), of_context * of_type / choice.decode_s

    def _judged(self, room: Room, placement: Placement) -> _Choice:
        shares = room.shares(placement)
        verdict, missing = self._placed_verdict(placement), self._over(shares)
        if missing:
            return _Choice(room, placement, Verdict.TOO_BIG, missing, shares)
        most = (self._wishes.max_bytes or {}).get(self.cpu.index, self.cpu.total_bytes)
        needed = sum(
            share.total_bytes for share in shares if not share.device.is_gpu or share.device.has_unified_memory
        )
        free = min(most, self.cpu.free_bytes - margin_bytes(self.cpu))
        if needed > free:
            limit = max(free, min(most, self.cpu.total_bytes - _CPU_RESERVE_BYTES))
            verdict = Verdict.CPU_SWAPS if needed <= limit else Verdict.TOO_BIG
            missing = needed - (free if verdict is Verdict.CPU_SWAPS else limit)
        return _Choice(room, placement, verdict, missing, shares)

    def _placed_verdict(self, placement: Placement) -> Verdict:
        if placement.n_gpu_layers == 0:
            return Verdict.CPU_ONLY
        if placement.n_gpu_layers <= self.shape.n_layers:
            return Verdict.PARTIAL_GPU
        return Verdict.EXPERTS_ON_CPU if placement.n_ffn_on_cpu else Verdict.FULL_GPU

    def _over(self, shares: tuple[DeviceShare, ...]) -> int:
        """By how much GPUs are overfull, which only a wish can do."""
        over = 0
        for share in shares:
            if share.device.is_gpu:
                over += max(0, share.total_bytes - (share.device.free_bytes - margin_bytes(share.device)))
        return over

    def _same_verdict(self, choice: _Choice, n_ctx: int) -> bool:
        room = self._room(n_ctx, choice.settings.kv_type, swa_full=choice.settings.swa_full)
        if choice.verdict is Verdict.FULL_GPU:
            return room.place(self.shape.n_layers + 1, 0) is not None
        if choice.verdict is Verdict.EXPERTS_ON_CPU:
            placement = room.fewest_ffn_on_cpu()
        elif choice.verdict is Verdict.PARTIAL_GPU:
            placement = room.place(choice.placement.n_gpu_layers, choice.placement.n_ffn_on_cpu)
        else:
            placement = choice.placement
        return placement is not None and self._judged(room, placement).verdict is choice.verdict


def _overrides(choice: _Choice) -> tuple[tuple[str, str], ...]:
    kept = sorted(choice.room.on_cpu(choice.placement))
    if not kept or not choice.placement.n_gpu_layers:
        return ()
    tensors = EXPERT_TENSORS if choice.room.shape.has_experts else FEED_FORWARD_TENSORS
    return ((rf"blk\.({'|'.join(map(str, kept))})\.{tensors}", CPU_DEVICE),)


def _should_map(choice: _Choice) -> bool:
    """Weights that a GPU borrows for prompts are copied twice as fast out of memory that is pinned and not mapped."""
    cpu = choice.shares[-1]
    is_shared = choice.verdict in (Verdict.EXPERTS_ON_CPU, Verdict.PARTIAL_GPU)
    return not (is_shared and cpu.total_bytes < cpu.device.free_bytes // 2)


def _gpu_bytes(plan: MemoryPlan) -> int:
    return sum(share.total_bytes for share in plan.shares if share.device.is_gpu)


def _times(rate: float | None, factor: float) -> float | None:
    return None if rate is None else rate * factor
