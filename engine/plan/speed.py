"""How fast a placement will be: a roofline, of bytes for single tokens and of multiplications for prompts.

A token reads every weight that it uses once, at the rate at which that device reads weights, and each operation costs
its start. A prompt of a batch multiplies; weights that the CPU keeps are copied to a GPU for that, where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.plan.cache import CacheSettings
from engine.plan.shape import ModelShape, Part
from engine.plan.types import Device, DeviceKind

CONVERSATION_TOKENS = 1024
"""How long the conversation is whose next token is timed."""

_USUAL_BANDWIDTH = {
    DeviceKind.GPU: 400e9,
    DeviceKind.INTEGRATED: 60e9,
    DeviceKind.CPU: 30e9,
    DeviceKind.ACCELERATOR: 30e9,
}
_USUAL_UPLOAD = 8e9
_USUAL_LATENCY_S = {
    DeviceKind.GPU: 2.5e-6,
    DeviceKind.INTEGRATED: 6e-6,
    DeviceKind.CPU: 2e-6,
    DeviceKind.ACCELERATOR: 2e-6,
}
_DENSE_OPS, _EXPERT_OPS, _STATE_OPS, _OUTPUT_OPS = 16, 42, 26, 5
"""Operations of a layer that a device starts one after the other, after what its kernels fuse."""
_HAND_OVER_S = 25e-6
"""From one device to another and back, with the wait for each."""
_GUEST_S, _GUEST_EFFICIENCY = 350e-6, 0.85
"""Of a part that the CPU keeps inside a layer of a GPU: to wake its threads, and the share of its bandwidth that they
reach in so short a time. Fitted to eight placements of 8B, 14B and 30B-A3B beside an H200 (RESULTS.md)."""
_TOKEN_S = 250e-6
"""Of each token, whatever the model: sampling, and what the host does between two steps."""
_MEASURED_BYTES = 4096 * 4096 / 256 * 144
"""Of the matrices with which bandwidth is measured (engine.backend.speeds): the start of each is in the number."""
_EXPERT_EFFICIENCY = 0.45
"""Of a prompt's products with experts: each has only some of the batch's tokens."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A layer, or the output, and where it is. ``guest`` is what of it the CPU keeps though a GPU has the rest."""

    device: Device
    rest: Part
    experts: Part
    guest: Part
    guest_is_expert: bool
    cell_bytes: float
    n_ops: int


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens per second; None where a device's rates are not known."""

    decode: float | None
    prefill: float | None


def ranking_bandwidth(device: Device) -> float:
    """What a device reads per second, guessed where it was not measured: good enough to compare devices."""
    return device.bandwidth_bytes_per_s or _USUAL_BANDWIDTH[device.kind]


def predict(shape: ModelShape, settings: CacheSettings, units: Sequence[Unit], cpu: Device) -> Speed:
    used = {id(unit.device): unit.device for unit in units}
    if any(unit.guest.size_bytes for unit in units):
        used[id(cpu)] = cpu
    knows_bandwidth = all(device.bandwidth_bytes_per_s for device in used.values())
    knows_flops = all(device.matmul_flops for device in used.values())
    decode = 1 / decode_s(shape, units, cpu) if knows_bandwidth else None
    prefill = settings.n_tokens / _prefill_s(shape, settings, units, cpu) if knows_flops else None
    return Speed(decode, prefill)


def decode_s(shape: ModelShape, units: Sequence[Unit], cpu: Device) -> float:
    """Of one token; with guesses where a rate is not known."""
    active = _active(shape)
    seconds, before = _TOKEN_S, cpu
    for unit in units:
        own = unit.rest.size_bytes + active * unit.experts.size_bytes + unit.cell_bytes
        seconds += own / _pure_bandwidth(unit.device) + unit.n_ops * _latency_s(unit.device)
        if unit.guest.size_bytes:
            share = active if unit.guest_is_expert else 1.0
            seconds += share * unit.guest.size_bytes / (_GUEST_EFFICIENCY * _pure_bandwidth(cpu)) + _GUEST_S
        if unit.device is not before:
            seconds += _HAND_OVER_S
            before = unit.device
    return seconds


def _active(shape: ModelShape) -> float:
    """Which part of the experts a token uses."""
    return shape.n_experts_used / shape.n_experts if shape.n_experts else 1.0


def _prefill_s(shape: ModelShape, settings: CacheSettings, units: Sequence[Unit], cpu: Device) -> float:
    """Of one batch."""
    gpu = next((unit.device for unit in units if unit.device.is_gpu), None)
    seconds = 0.0
    for unit in units:
        reader = gpu or cpu
        lent = Part() if unit.device.is_gpu else unit.rest + unit.experts
        lent = lent + unit.guest
        if gpu is not None:
            seconds += lent.size_bytes / (gpu.upload_bytes_per_s or _USUAL_UPLOAD)
        flops = reader.matmul_flops if not unit.device.is_gpu else unit.device.matmul_flops
        seconds += settings.n_tokens * _multiplications(unit, _active(shape)) / (flops or 1.0)
        seconds += unit.n_ops * _latency_s(reader)
    return seconds


def _multiplications(unit: Unit, active: float) -> float:
    """And additions, of a token."""
    dense, experts = unit.rest.n_elements, unit.experts.n_elements
    if unit.guest_is_expert:
        experts += unit.guest.n_elements
    else:
        dense += unit.guest.n_elements
    return 2.0 * (dense + active * experts / _EXPERT_EFFICIENCY)


def units_of(
    shape: ModelShape, settings: CacheSettings, owners: Sequence[tuple[Device, int]], guests: frozenset[int]
) -> list[Unit]:
    """Of a placement: ``owners`` as ``Room.units_of`` gives them, ``guests`` as ``Room.on_cpu``."""
    fraction = min(CONVERSATION_TOKENS, settings.n_cells / 2) / settings.n_cells
    units = []
    for device, index in owners:
        if index == shape.n_layers:
            units.append(Unit(device, shape.output, Part(), Part(), False, 0.0, _OUTPUT_OPS))
            continue
        layer = shape.layers[index]
        cells = settings.layer_bytes(layer.cache) - layer.cache.state_bytes * settings.n_sequences
        read = cells * fraction + layer.cache.state_bytes
        n_ops = _EXPERT_OPS if layer.experts.size_bytes else _DENSE_OPS
        n_ops += _STATE_OPS - _DENSE_OPS if layer.cache.state_bytes else 0
        is_guest = index in guests and device.is_gpu
        rest = layer.rest if is_guest and not shape.has_experts else layer.rest + layer.feed_forward
        experts = Part() if is_guest and shape.has_experts else layer.experts
        guest = (layer.experts if shape.has_experts else layer.feed_forward) if is_guest else Part()
        units.append(Unit(device, rest, experts, guest, shape.has_experts, read, n_ops))
    return units


def _pure_bandwidth(device: Device) -> float:
    """Without the start of each operation, which is counted apart: small matrices have more of them."""
    seconds = _MEASURED_BYTES / ranking_bandwidth(device)
    return _MEASURED_BYTES / max(seconds - _latency_s(device), seconds / 2)


def _latency_s(device: Device) -> float:
    return device.op_latency_s or _USUAL_LATENCY_S[device.kind]
