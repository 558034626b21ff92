"""A worker whose backend is a script that runs out of memory. Run as a program in a worker's place.

More than 20 layers on the GPU do not load; more than 10 load, and end the process with the first batch, as CUDA does.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import engine.worker.loop as loop
from engine.backend.base import Backend
from engine.backend.fake import FakeBackend
from engine.config import LoadSpec
from engine.errors import OutOfMemory
from engine.step import StepPlan, StepResult
from engine.types import TokenId
from engine.worker.process import main

TOO_MANY_TO_LOAD, TOO_MANY_TO_RUN = 20, 10


class ScarceBackend(FakeBackend):
    def decode(self, plan: StepPlan) -> StepResult:
        os.write(2, b"HEARTH-ABORT CUDA error\nggml_cuda: out of memory\n")
        os.abort()


def load(spec: LoadSpec, _on_progress: Callable[[float], None]) -> Backend:
    n_layers = spec.config.n_gpu_layers or 0
    if n_layers > TOO_MANY_TO_LOAD:
        raise OutOfMemory("There is not enough free memory to load it.")
    answer = [TokenId(ord(letter) + 16) for letter in "Yes."]
    return ScarceBackend(answer) if n_layers > TOO_MANY_TO_RUN else FakeBackend(answer)


if __name__ == "__main__":
    loop._load_llama = load  # type: ignore[assignment]
    main()
