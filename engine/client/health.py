"""When is a worker hung, and how often may it be started again? Pure rules over times given as numbers."""

from __future__ import annotations

from collections import deque

MAX_RESTARTS = 2
RESTART_WINDOW_S = 300.0

STOPPED_LIMIT_S = 2.0
SILENT_LIMIT_S = 20.0
STALLED_LIMIT_S = 300.0
LOAD_STALL_LIMIT_S = 120.0


class RestartBudget:
    """At most MAX_RESTARTS in RESTART_WINDOW_S: a model that keeps dying must not be started for ever."""

    def __init__(self) -> None:
        self._restarts_s: deque[float] = deque()

    def take(self, now_s: float) -> bool:
        """Use one restart up, if there is one left."""
        while self._restarts_s and now_s - self._restarts_s[0] > RESTART_WINDOW_S:
            self._restarts_s.popleft()
        if len(self._restarts_s) >= MAX_RESTARTS:
            return False
        self._restarts_s.append(now_s)
        return True

    def refill(self) -> None:
        """The user asked for a load: what happened before is forgiven."""
        self._restarts_s.clear()


class Pulse:
    """Tells a slow worker from a hung one.

    Silence of the heartbeat thread means that the whole process stands still: at once suspicious when the system says
    that it is stopped, and only after a while when it is merely starved of memory or cores. Heartbeats without
    progress mean that the engine's thread hangs.

    Time is counted in ticks of the supervisor, so that a laptop that slept does not wake up to a "hung" engine.
    """

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._silent_s = 0.0
        self._stalled_s = 0.0
        self._n_steps = 0
        self._is_busy = False

    def beat(self, n_steps: int, is_busy: bool) -> None:
        self._silent_s = 0.0
        if n_steps != self._n_steps or not is_busy:
            self._stalled_s = 0.0
        self._n_steps = n_steps
        self._is_busy = is_busy

    def progressed(self) -> None:
        """Something else than a heartbeat arrived."""
        self._silent_s = self._stalled_s = 0.0

    def tick(self, is_stopped: bool, is_loading: bool) -> str | None:
        """One tick has passed. A sentence about what is wrong, or None while all is well."""
        self._silent_s += self._tick_s
        self._stalled_s += self._tick_s if self._is_busy else 0.0
        if is_stopped and self._silent_s >= STOPPED_LIMIT_S:
            return "The engine's process was stopped by another program."
        if self._silent_s >= SILENT_LIMIT_S:
            return f"The engine has not answered for {self._silent_s:.0f} seconds."
        limit_s = LOAD_STALL_LIMIT_S if is_loading else STALLED_LIMIT_S
        if self._stalled_s >= limit_s:
            what = "loading the model" if is_loading else "computing"
            return f"The engine has made no progress in {what} for {self._stalled_s:.0f} seconds."
        return None
