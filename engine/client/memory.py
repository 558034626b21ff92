"""What to do when a model runs out of memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.backend.last_words import ran_out
from engine.config import LoadSpec

_LAST_LINES = 12


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The next smaller way to load the same model; ``sentence`` tells a person what changed."""

    spec: LoadSpec
    sentence: str


Shrink = Callable[[LoadSpec], Shrunk | None]
"""What comes after a way to load that did not fit; None where there is nothing smaller. May block."""


def ran_out_of_memory(stderr_tail: str) -> bool:
    """Whether a worker's last lines say so: a GPU's driver that cannot take more ends the process."""
    return ran_out(stderr_tail.splitlines()[-_LAST_LINES:])
