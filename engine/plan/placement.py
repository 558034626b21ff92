"""Which layers go to which device, and whether they fit there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from engine.plan.buffers import Guests, gpu_buffer, host_buffer, other_bytes, pipeline_bytes
from engine.plan.cache import CacheSettings
from engine.plan.shape import ModelShape, Part
from engine.plan.speed import ranking_bandwidth
from engine.plan.types import Corrections, Device, DeviceShare, Wishes

_GPU_MARGIN_BYTES, _MOST_GPU_MARGIN_BYTES, _MARGIN_FRACTION = 96 << 20, 384 << 20, 0.02
_CPU_MARGIN_BYTES, _CPU_MARGIN_FRACTION = 1 << 30, 0.06
_PIPELINING_BACKENDS = frozenset({"CUDA", "ROCm", "HIP", "MUSA"})
"""They compute asynchronously and have events; several of them then work on several batches at a time."""


def margin_bytes(device: Device) -> int:
    """What a plan leaves free, because memory comes and goes, and comes in large pieces."""
    if not device.is_gpu:
        return min(_CPU_MARGIN_BYTES, int(device.total_bytes * _CPU_MARGIN_FRACTION))
    return min(_MOST_GPU_MARGIN_BYTES, _GPU_MARGIN_BYTES + int(device.free_bytes * _MARGIN_FRACTION))


@dataclass(frozen=True, slots=True)
class Placement:
    """``counts`` has for each GPU how many of the last layers it gets, the output being one; ``n_ffn_on_cpu`` of the
    first layers keep their feed-forward weights, or experts, with the CPU."""

    counts: tuple[int, ...]
    n_ffn_on_cpu: int

    @property
    def n_gpu_layers(self) -> int:
        return sum(self.counts)


class Room:
    """One model with one kind of cache on these devices: what would fit where."""

    def __init__(
        self,
        shape: ModelShape,
        settings: CacheSettings,
        gpus: Sequence[Device],
        cpu: Device,
        wishes: Wishes,
        corrections: Corrections,
    ) -> None:
        self.shape = shape
        self.settings = settings
        self.gpus = tuple(gpus)
        self.cpu = cpu
        self._wishes = wishes
        self._corrections = corrections
        self._n_units = shape.n_layers + 1
        self._cells = [settings.layer_bytes(layer.cache) for layer in shape.layers]
        self._movable = tuple(index for index, layer in enumerate(shape.layers) if movable(shape, index).size_bytes)

    @property
    def n_movable(self) -> int:
        """How many layers have feed-forward weights that the CPU could keep."""
        return len(self._movable)

    def place(self, n_gpu_layers: int, n_ffn_on_cpu: int, *, anyway: bool = False) -> Placement | None:
        """The quickest way to spread that many layers, or None where they do not fit and need not.

        One GPU alone where that is enough, since each further one costs a hand-over.
        """
        if n_gpu_layers == 0:
            return Placement((0,) * len(self.gpus), n_ffn_on_cpu)
        units = self._units(n_gpu_layers, n_ffn_on_cpu)
        order = sorted(range(len(self.gpus)), key=lambda gpu: -ranking_bandwidth(self.gpus[gpu]))
        for gpu in order:
            alone = tuple(len(units) if other == gpu else 0 for other in range(len(self.gpus)))
            if sum(units) <= self._capacity(gpu, alone, n_gpu_layers, n_ffn_on_cpu):
                return self._if_memory_is_shared(Placement(alone, n_ffn_on_cpu), anyway=anyway)
        counts = self._spread(units, n_gpu_layers, n_ffn_on_cpu)
        if counts is not None:
            return self._if_memory_is_shared(Placement(counts, n_ffn_on_cpu), anyway=anyway)
        return Placement(self._by_capacity(n_gpu_layers, n_ffn_on_cpu), n_ffn_on_cpu) if anyway else None

    def fewest_ffn_on_cpu(self) -> Placement | None:
        """All layers on GPUs, and as many of their feed-forward weights as go there too."""
        low, high, found = 1, self.n_movable, None
        while low <= high:
            middle = (low + high) // 2
            placement = self.place(self._n_units, middle)
            if placement is None:
                low = middle + 1
            else:
                found, high = placement, middle - 1
        return found

    def most_layers(self, n_ffn_on_cpu: int = 0) -> Placement | None:
        """As many whole layers as go to GPUs; None where it is none."""
        low, high, found = 1, self._n_units, None
        while low <= high:
            middle = (low + high) // 2
            placement = self.place(middle, n_ffn_on_cpu)
            if placement is None:
                high = middle - 1
            else:
                found, low = placement, middle + 1
        return found

    def shares(self, placement: Placement) -> tuple[DeviceShare, ...]:
        """The GPUs in use, then the CPU."""
        used = [gpu for gpu, count in enumerate(placement.counts) if count]
        return (*(self._gpu_share(gpu, placement) for gpu in used), self._cpu_share(placement))

    def units_of(self, placement: Placement) -> list[tuple[Device, int]]:
        """Where each layer is, the output last: (device, index of the layer or ``n_layers``)."""
        first = self._n_units - placement.n_gpu_layers
        units = [(self.cpu, unit) for unit in range(first)]
        for gpu, count in zip(self.gpus, placement.counts, strict=True):
            units += [(gpu, unit) for unit in range(len(units), len(units) + count)]
        return units

    def on_cpu(self, placement: Placement) -> frozenset[int]:
        """Layers whose feed-forward weights an override keeps with the CPU."""
        return frozenset(self._movable[: placement.n_ffn_on_cpu])

    def _units(self, n_gpu_layers: int, n_ffn_on_cpu: int) -> list[int]:
        """Bytes of each of the last layers on a GPU."""
        kept = set(self._movable[:n_ffn_on_cpu])
        sizes = []
        for unit in range(self._n_units - n_gpu_layers, self._n_units):
            if unit == self.shape.n_layers:
                sizes.append(self.shape.output.gpu_bytes)
                continue
            layer = self.shape.layers[unit]
            size = layer.weights.gpu_bytes + self._cells[unit]
            sizes.append(size - (movable(self.shape, unit).gpu_bytes if unit in kept else 0))
        return sizes

    def _capacity(self, gpu: int, counts: Sequence[int], n_gpu_layers: int, n_ffn_on_cpu: int) -> int:
        """What is left for layers, when buffers and all else are taken off."""
        device = self.gpus[gpu]
        most = (self._wishes.max_bytes or {}).get(device.index)
        free = device.free_bytes - margin_bytes(device)
        free = free if most is None else min(free, most)
        n_before, n_used = sum(1 for count in counts[:gpu] if count), sum(1 for count in counts if count)
        taken = self._buffer(gpu, n_gpu_layers, n_ffn_on_cpu, n_before=n_before, n_used=n_used) + self._other(device)
        if gpu == self._host_of_guests:
            taken += self._companions_bytes
        return free - taken

    def _buffer(self, gpu: int, n_gpu_layers: int, n_ffn_on_cpu: int, *, n_before: int, n_used: int) -> int:
        device = self.gpus[gpu]
        if device.index in self._corrections.compute_bytes:
            return self._corrections.compute_bytes[device.index]
        size = gpu_buffer(self.shape, self.settings, device, self._guests(n_gpu_layers, n_ffn_on_cpu))
        whole = n_gpu_layers == self._n_units and not n_ffn_on_cpu
        if whole and n_used > 1 and device.backend in _PIPELINING_BACKENDS:
            size += pipeline_bytes(self.shape, self.settings, is_first=n_before == 0)
        return size

    def _guests(self, n_gpu_layers: int, n_ffn_on_cpu: int) -> Guests:
        own = self._n_units - n_gpu_layers
        parts = [movable(self.shape, index) for index in self._movable[:n_ffn_on_cpu]]
        parts += [movable(self.shape, index) for index in range(own)]
        rests = [layer.rest for layer in self.shape.layers[:own]]
        return Guests.of(parts, rests, max(self._cells[:own], default=0))

    def _other(self, device: Device) -> int:
        """Loads of models without experts teach too little for one with them."""
        usual = other_bytes(device, has_experts=self.shape.has_experts)
        learned = self._corrections.other_bytes.get(device.index, usual)
        return max(learned, usual) if self.shape.has_experts else learned

    @cached_property
    def _host_of_guests(self) -> int:
        """The GPU that draft model, projector and adapters go to: the one with the most room."""
        return max(range(len(self.gpus)), key=lambda gpu: self.gpus[gpu].free_bytes)

    @cached_property
    def draft_bytes(self) -> int:
        """A draft model with its cache and buffers."""
        draft = self._wishes.draft
        if draft is None:
            return 0
        settings = CacheSettings.of(
            draft, self._wishes, self.settings.n_ctx, self.settings.kv_type, flash_attention=True, swa_full=True
        )
        cells = sum(settings.layer_bytes(layer.cache) for layer in draft.layers)
        device = self.gpus[self._host_of_guests] if self.gpus else self.cpu
        return draft.weights.gpu_bytes + cells + gpu_buffer(draft, settings, device)

    @property
    def _companions_bytes(self) -> int:
        return self.draft_bytes + self._wishes.projector_bytes + self._wishes.adapters_bytes

    def _spread(self, units: list[int], n_gpu_layers: int, n_ffn_on_cpu: int) -> tuple[int, ...] | None:
        """The layers in one piece for each GPU, in their order, so that a token takes the least time."""
        if len(self.gpus) < 2:
            return None
        n, all_used = len(units), (1,) * len(self.gpus)
        rooms = [self._capacity(gpu, all_used, n_gpu_layers, n_ffn_on_cpu) for gpu in range(len(self.gpus))]
        if sum(units) > sum(max(0, room) for room in rooms):
            return None
        sums = [0, *accumulate(units)]
        costs: list[Mapping[int, float]] = [{0: 0.0}]
        steps: list[dict[int, int]] = []
        for gpu, room in zip(self.gpus, rooms, strict=True):
            bandwidth = ranking_bandwidth(gpu)
            best: dict[int, float] = {}
            step: dict[int, int] = {}
            for begin, cost in costs[-1].items():
                for end in range(begin, n + 1):
                    size = sums[end] - sums[begin]
                    if end > begin and size > room:
                        break
                    total = cost + size / bandwidth
                    if end not in best or total < best[end]:
                        best[end], step[end] = total, begin
            costs.append(best)
            steps.append(step)
        if n not in costs[-1]:
            return None
        counts, end = [], n
        for step in reversed(steps):
            counts.append(end - step[end])
            end = step[end]
        return tuple(reversed(counts))

    def _by_capacity(self, n_gpu_layers: int, n_ffn_on_cpu: int) -> tuple[int, ...]:
        """As llama.cpp would: in proportion to what is free."""
        rooms = [max(1, self._capacity(gpu, (1,), n_gpu_layers, n_ffn_on_cpu)) for gpu in range(len(self.gpus))]
        ends = [round(n_gpu_layers * part / sum(rooms)) for part in accumulate(rooms)]
        return tuple(end - begin for begin, end in zip([0, *ends], ends, strict=False))

    def _if_memory_is_shared(self, placement: Placement, *, anyway: bool) -> Placement | None:
        """Where GPU and CPU have one memory, both together must fit into it."""
        if anyway or not any(gpu.has_unified_memory for gpu in self.gpus):
            return placement
        total = sum(share.total_bytes for share in self.shares(placement) if _is_in_ram(share.device))
        return placement if total <= self.cpu.free_bytes - margin_bytes(self.cpu) else None

    def _gpu_share(self, gpu: int, placement: Placement) -> DeviceShare:
        device, before = self.gpus[gpu], placement.counts[:gpu]
        kept, weights, cells = self.on_cpu(placement), 0, 0
        for unit in (unit for owner, unit in self.units_of(placement) if owner is device):
            if unit == self.shape.n_layers:
                weights += self.shape.output.gpu_bytes
                continue
            moved = movable(self.shape, unit).gpu_bytes if unit in kept else 0
            weights += self.shape.layers[unit].weights.gpu_bytes - moved
            cells += self._cells[unit]
        n_before, n_used = sum(map(bool, before)), sum(map(bool, placement.counts))
        buffer = self._buffer(gpu, placement.n_gpu_layers, placement.n_ffn_on_cpu, n_before=n_before, n_used=n_used)
        is_host = gpu == self._companions_gpu(placement)
        extra = self._wishes.projector_bytes + self._wishes.adapters_bytes if is_host else 0
        draft = self.draft_bytes if is_host else 0
        return DeviceShare(device, weights, cells, buffer, draft, self._other(device) + extra)

    def _companions_gpu(self, placement: Placement) -> int | None:
        """Where draft, projector and adapters are: on a GPU that is in use, else with the CPU."""
        used = [gpu for gpu, count in enumerate(placement.counts) if count]
        if not used:
            return None
        return self._host_of_guests if self._host_of_guests in used else used[0]

    def _cpu_share(self, placement: Placement) -> DeviceShare:
        kept, weights, cells = self.on_cpu(placement), self.shape.input.size_bytes, 0
        for device, unit in self.units_of(placement):
            if device is not self.cpu:
                weights += movable(self.shape, unit).size_bytes if unit in kept else 0
            elif unit < self.shape.n_layers:
                weights += self.shape.layers[unit].weights.size_bytes
                cells += self._cells[unit]
            else:
                weights += self.shape.output.size_bytes - (self.shape.input.largest_bytes if self.shape.is_tied else 0)
        has_gpu = placement.n_gpu_layers > 0
        buffer = host_buffer(self.shape, self.settings, has_gpu=has_gpu)
        buffer = self._corrections.compute_bytes.get(self.cpu.index, buffer)
        extra = 0 if has_gpu else self._wishes.projector_bytes + self._wishes.adapters_bytes
        draft = 0 if has_gpu else self.draft_bytes
        return DeviceShare(self.cpu, weights, cells, buffer, draft, self._other(self.cpu) + extra)


def movable(shape: ModelShape, layer: int) -> Part:
    """What of a layer the CPU can keep while a GPU has the rest: its experts, in a model without any its matrices."""
    if layer >= shape.n_layers:
        return Part()
    return shape.layers[layer].experts if shape.has_experts else shape.layers[layer].feed_forward


def _is_in_ram(device: Device) -> bool:
    return not device.is_gpu or device.has_unified_memory
