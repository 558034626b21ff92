"""What goes through the API, as values for whoever shows it, and the log that keeps the last of it."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

N_RECENT = 200
MAX_BODIES_CHARS = 8_000_000
"""What all kept bodies together may take; the oldest go first."""

_FIRST_ERROR_STATUS = 400


class Surface(StrEnum):
    """Whose protocol a request speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    OLLAMA = "ollama"
    OTHER = "other"


class LivePhase(StrEnum):
    """Waiting for its model, waiting for its turn, reading the prompt, or writing the answer."""

    LOADING = "loading"
    QUEUED = "queued"
    PREFILL = "prefill"
    DECODING = "decoding"


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """An HTTP request that is being answered.

    ``started_s`` is in seconds since the epoch, ``endpoint`` a path such as ``/v1/chat/completions``, ``model`` what
    the client asked for until it is known what answers, ``client`` an address, ``agent`` what the client calls itself
    (may be empty). ``n_prompt`` and ``n_cached`` are 0 until they are known. ``tokens_per_s`` is None before the second
    token.
    """

    id: int
    started_s: float
    elapsed_s: float
    surface: Surface
    method: str
    endpoint: str
    model: str | None
    client: str
    agent: str
    n_prompt: int
    n_cached: int
    n_output: int
    tokens_per_s: float | None
    phase: LivePhase


@dataclass(frozen=True, slots=True)
class Bodies:
    """What was asked and answered, as text. A long one is cut, which a last character … tells."""

    request: str
    response: str


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """A request that is over. Fields as in LiveRequest.

    ``first_token_s`` counts from the request's arrival, the loading of a model included. ``status`` is None where the
    client went away before there was one. ``error`` is a sentence for people where something went wrong, which a stream
    tells after status 200. ``bodies`` is None unless the user asked for them.
    """

    id: int
    started_s: float
    duration_s: float
    surface: Surface
    method: str
    endpoint: str
    model: str | None
    client: str
    agent: str
    n_prompt: int
    n_cached: int
    n_output: int
    first_token_s: float | None
    tokens_per_s: float | None
    status: int | None
    error: str | None
    bodies: Bodies | None


@dataclass(frozen=True, slots=True)
class TrafficSnapshot:
    """``live`` in the order of arrival; ``recent`` the newest first, at most 200. The counts are of the whole run.

    ``n_queued`` counts the live ones that wait for a model or for their turn; ``tokens_per_s`` is of all together.
    """

    live: tuple[LiveRequest, ...] = ()
    recent: tuple[LoggedRequest, ...] = ()
    n_queued: int = 0
    tokens_per_s: float = 0.0
    n_requests: int = 0
    n_errors: int = 0
    keeps_bodies: bool = False


class Watched(Protocol):
    """A live request, as the log needs it. Thread: any."""

    @property
    def id(self) -> int: ...

    @property
    def is_work(self) -> bool:
        """Whether it asked for a model: what did not is over in a moment, and not shown as live."""

    def live(self) -> LiveRequest: ...

    def stop_soon(self) -> None:
        """End it with an error for its client. Returns at once."""


class Traffic:
    """Which requests are under way, and the last that were. It outlives a server that is turned off. Thread: any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._live: dict[int, Watched] = {}
        self._recent: deque[LoggedRequest] = deque(maxlen=N_RECENT)
        self._n_requests = self._n_errors = 0
        self._keeps_bodies = False

    @property
    def keeps_bodies(self) -> bool:
        return self._keeps_bodies

    def keep_bodies(self, keeps: bool) -> None:
        """False forgets what was kept."""
        with self._lock:
            self._keeps_bodies = keeps
            if not keeps:
                self._recent = deque((replace(logged, bodies=None) for logged in self._recent), N_RECENT)

    def new_id(self) -> int:
        return next(self._ids)

    def begin(self, request: Watched) -> None:
        with self._lock:
            self._live[request.id] = request

    def end(self, request: Watched, logged: LoggedRequest | None) -> None:
        """It is over. None leaves no trace, as for a program that asks every second whether all is well."""
        with self._lock:
            del self._live[request.id]
            if logged is None:
                return
            self._n_requests += 1
            self._n_errors += is_error(logged)
            self._recent.appendleft(logged if self._keeps_bodies else replace(logged, bodies=None))
            if logged.bodies is not None:
                self._forget_old_bodies()

    def snapshot(self) -> TrafficSnapshot:
        with self._lock:
            live = tuple(request.live() for request in self._live.values() if request.is_work)
            recent = tuple(self._recent)
            n_requests, n_errors = self._n_requests, self._n_errors
        return TrafficSnapshot(
            live=live,
            recent=recent,
            n_queued=sum(request.phase in (LivePhase.LOADING, LivePhase.QUEUED) for request in live),
            tokens_per_s=sum(request.tokens_per_s or 0.0 for request in live),
            n_requests=n_requests,
            n_errors=n_errors,
            keeps_bodies=self._keeps_bodies,
        )

    def stop(self, request_id: int) -> None:
        """End one that is under way. One that is over is ignored."""
        with self._lock:
            request = self._live.get(request_id)
        if request is not None:
            request.stop_soon()

    def stop_all(self) -> None:
        with self._lock:
            requests = list(self._live.values())
        for request in requests:
            request.stop_soon()

    def _forget_old_bodies(self) -> None:
        left = MAX_BODIES_CHARS
        for n, logged in enumerate(self._recent):
            if logged.bodies is not None:
                left -= len(logged.bodies.request) + len(logged.bodies.response)
                if left < 0:
                    self._recent[n] = replace(logged, bodies=None)


def is_error(logged: LoggedRequest) -> bool:
    return logged.error is not None or logged.status is None or logged.status >= _FIRST_ERROR_STATUS
