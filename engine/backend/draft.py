"""A small model in the same process that guesses what the large one will say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.cells import Cells, KvLayout
from engine.step import StepPlan, StepResult

if TYPE_CHECKING:
    from engine.backend.llama import LlamaBackend


class LlamaDraft:
    """Implements ``base.Draft`` with a model and a context of its own. Thread: the target's, but for interrupt."""

    def __init__(self, target: LlamaBackend, model: LlamaBackend) -> None:
        self._target = target
        self._model = model

    @property
    def name(self) -> str:
        return self._model.info.name

    @property
    def n_vocab(self) -> int:
        return self._model.info.n_vocab

    @property
    def layout(self) -> KvLayout:
        return self._model.layout

    @property
    def cells(self) -> Cells:
        return self._model.cells

    def read(self, plan: StepPlan) -> StepResult:
        return self._model.decode(plan)

    def guess(self, plan: StepPlan) -> StepResult:
        for chunk in plan.chunks:
            self._model.copy_sampler(chunk.request_id, self._target)
        try:
            return self._model.decode(plan)
        finally:
            for chunk in plan.chunks:
                self._model.close_sampler(chunk.request_id)

    def time_rows(self, n_rows: int) -> float:
        return self._model.time_rows(n_rows)

    def set_threads(self, n_decode: int, n_prefill: int) -> None:
        self._model.set_threads(n_decode, n_prefill)

    def interrupt(self) -> None:
        self._model.interrupt()

    def close(self) -> None:
        self._model.close()
