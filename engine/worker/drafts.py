"""What a loaded model needs to draft: the model that guesses, and what batches cost on this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from engine.backend.base import Backend, Draft
from engine.config import CacheConfig, DraftConfig, DraftMode, LoadSpec
from engine.drafting import Drafting
from engine.errors import InvalidRequest, KnownError
from engine.gguf import check_loadable, read_header
from engine.kv import Costs, PagedKv
from engine.spec.controller import Controller
from engine.spec.costs import CostCurve
from engine.spec.pairing import why_not
from engine.worker.kept import Kept

log = logging.getLogger(__name__)

_TARGET_ROWS = (1, 16, 4, 8, 2, 3, 12, 6)
_DRAFT_ROWS = (1, 32, 4, 8, 2)
"""Batches to measure, those that say most first: a large model has no time for all of them."""

_BUDGET_S = 1.5
_LEAST_REPEATS, _MOST_REPEATS, _TURN_S = 2, 8, 0.05
_MOST_TURNS, _ENOUGH_S = 4, 0.5
_RAM_PART = 8
"""The draft's pages get this part of what the target's have in RAM, and need less for as many tokens."""


@dataclass(frozen=True, slots=True)
class Drafts:
    """``drafting`` is None where nothing is drafted; ``problem`` says why it is less than was asked for."""

    drafting: Drafting | None = None
    problem: str | None = None


class KeptCosts(Kept[dict[str, float]]):
    """Seconds of a batch by its number of rows, which is text in JSON."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, dict[str, float])

    def is_sound(self, value: dict[str, float]) -> bool:
        return "1" in value and all(rows.isdecimal() and seconds > 0 for rows, seconds in value.items())


def make_drafts(backend: Backend, spec: LoadSpec, costs_key: str, kept: KeptCosts | None) -> Drafts:
    """Takes a second or two when a model is loaded for the first time. The cells must be empty, and are then."""
    wishes = spec.drafting
    if wishes.mode is DraftMode.OFF or not backend.info.can_chat:
        return Drafts()
    if not backend.layout.can_cut:
        return Drafts(problem=f"{backend.info.name} cannot take tokens back, so nothing is drafted.")
    problem = _load(backend, spec)
    draft = None if problem else backend.draft
    target_costs = _costs(backend.time_rows, _TARGET_ROWS, costs_key, kept)
    draft_costs, draft_kv = None, None
    if draft is not None:
        draft_costs = _costs(draft.time_rows, _DRAFT_ROWS, f"{costs_key}, draft {wishes.model}", kept)
        draft_kv = _ledger(draft, spec.cache)
    controller = Controller(target_costs, draft_costs, fixed=_fixed(wishes))
    return Drafts(Drafting(controller, backend.info.n_ctx, draft, draft_kv), problem)


def _fixed(wishes: DraftConfig) -> int | None:
    return wishes.n_tokens if wishes.mode is DraftMode.FIXED else None


def _load(backend: Backend, spec: LoadSpec) -> str | None:
    """Load the draft model, if one is wished for. Returns why that was not possible."""
    model = spec.drafting.model
    if model is None:
        return None
    try:
        header = read_header(Path(model))
        if reason := why_not(read_header(Path(spec.path)), header):
            raise InvalidRequest(f"{header.name} cannot draft for {backend.info.name}: it {reason}.")
        check_loadable(header)
        backend.load_draft(_draft_spec(spec, backend.info.n_ctx))
    except KnownError as error:
        log.warning("no draft model: %s", error)
        return error.text
    draft = backend.draft
    if draft is not None and not draft.layout.can_cut:
        return f"{draft.name} cannot take tokens back, so it does not draft."
    return None


def _draft_spec(spec: LoadSpec, n_ctx: int) -> LoadSpec:
    """On the devices of the target, but with all of it where that has all or a part."""
    n_gpu_layers = 0 if spec.config.n_gpu_layers == 0 else None
    config = replace(
        spec.config,
        n_ctx=n_ctx,
        n_gpu_layers=n_gpu_layers,
        tensor_split=(),
        tensor_overrides=(),
        device_sampling=False,
    )
    assert spec.drafting.model is not None
    return LoadSpec(spec.drafting.model, config)


def _ledger(draft: Draft, cache: CacheConfig) -> PagedKv:
    return PagedKv(draft.layout, draft.cells, cache.ram_bytes // _RAM_PART, None, Costs())


def _costs(time_rows: Callable[[int], float], all_rows: Sequence[int], key: str, kept: KeptCosts | None) -> CostCurve:
    known = kept.get(key) if kept is not None else None
    if known is not None:
        return CostCurve({int(rows): seconds for rows, seconds in known.items()})
    measured = _measure(time_rows, all_rows)
    if kept is not None:
        kept.put(key, {str(rows): seconds for rows, seconds in measured.items()})
    return CostCurve(measured)


def _measure(time_rows: Callable[[int], float], all_rows: Sequence[int]) -> dict[int, float]:
    """The shortest time of each, in turns: what is computed first is slow, on a GPU for some tenths of a second.

    A GPU is also slow the first few times that a batch has another size than the one before.
    """
    measured: dict[int, float] = {}
    spent_s = 0.0
    for _ in range(_MOST_TURNS):
        for n_rows in all_rows:
            if spent_s > _BUDGET_S and len(measured) > 1:
                return measured
            times = [time_rows(n_rows)]
            while len(times) < _LEAST_REPEATS or (len(times) < _MOST_REPEATS and sum(times) < _TURN_S):
                times.append(time_rows(n_rows))
            measured[n_rows] = min(measured.get(n_rows, times[0]), *times)
            spent_s += sum(times)
        if spent_s > _ENOUGH_S:
            break
    log.info("seconds a batch by rows: %s", measured)
    return measured
