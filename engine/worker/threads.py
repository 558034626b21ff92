"""How many threads compute: what the user said, or what was measured here, within what other programs leave free."""

from __future__ import annotations

import time
from collections.abc import Callable

from engine.backend.base import Backend
from engine.worker.governor import ThreadGovernor
from engine.worker.tuning import Cores, KeptChoices, ThreadCounts, machine_key, measure


class Threads:
    """Thread: the engine's."""

    def __init__(
        self,
        wished: int | None,
        cores: Cores | None = None,
        governor: ThreadGovernor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """With a wish nothing is measured and nothing ever changes.

        Made before the model is loaded, so that the first step already knows how busy the machine is.
        """
        self._cores = cores or Cores.of_this_machine()
        self._clock = clock
        self._counts = self._cores.default if wished is None else ThreadCounts(wished, wished)
        self._governor = None
        if wished is None:
            self._governor = governor or ThreadGovernor(self._counts.most, clock())

    @property
    def n_threads(self) -> int:
        """For single tokens, on a quiet machine."""
        return self._counts.decode

    @property
    def key(self) -> str:
        """Names the machine and how many threads a model computes with here."""
        return f"{machine_key(self._cores)}, {self._counts.decode} and {self._counts.prefill}"

    def tune(self, backend: Backend, model: str, kept: KeptChoices) -> None:
        """Use the numbers that are kept for a model, or measure them, unless the machine is busy."""
        if self._governor is None or not backend.info.can_chat:
            return
        key = f"{model}, {machine_key(self._cores)}"
        known = kept.get(key)
        counts = known or self._measured(backend, self._governor)
        if counts is None:
            return
        if known is None:
            kept.put(key, counts)
        self._counts = counts
        self._governor.allow(counts.most)

    def apply(self, backend: Backend) -> None:
        """Before a step: let it compute with as many as are good now."""
        if self._governor is not None:
            counts = self._counts.within(self._governor.update(self._clock()))
            backend.set_threads(counts.decode, counts.prefill)

    def _measured(self, backend: Backend, governor: ThreadGovernor) -> ThreadCounts | None:
        """None while others keep cores busy: then it would say nothing, and the next load tries again."""
        n_wanted = self._counts.most
        if governor.update(self._clock()) < n_wanted:
            return None
        counts = measure(self._cores, backend.time_batch)
        return counts if governor.update(self._clock()) == n_wanted else None
