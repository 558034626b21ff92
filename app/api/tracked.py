"""One HTTP request on its way through the server: what is known of it, and how it is ended from outside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
from starlette.types import Message, Receive, Send

from app.api.errors import from_engine
from app.api.traffic import Bodies, LivePhase, LiveRequest, LoggedRequest, Surface
from engine.errors import ErrorInfo
from engine.events import Embedded, RequestFailed, RequestFinished, RequestStarted, TokensEmitted
from engine.types import RequestId

MAX_BODY_BYTES = 64_000
"""How much of a body the log keeps."""

STOPPED = ErrorInfo("RequestStopped", "The request was stopped in Hearth.")
_MAX_ERROR_BYTES = 4_000
_MAX_ERROR_CHARS = 300

Told: TypeAlias = RequestStarted | TokensEmitted | RequestFinished | RequestFailed | Embedded


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from and where it goes. ``agent`` is what the client calls itself."""

    surface: Surface
    method: str
    path: str
    client: str
    agent: str


@dataclass(slots=True)
class _Part:
    """One of the engine's requests that an HTTP request became."""

    stop: Callable[[], None]
    phase: LivePhase
    n_prompt: int = 0
    n_cached: int = 0
    n_output: int = 0
    decode_s: float | None = None


@dataclass(slots=True)
class _Beginning:
    """The first bytes of a body."""

    limit: int
    data: bytearray = field(default_factory=bytearray)
    is_cut: bool = False

    def add(self, data: bytes) -> None:
        room = self.limit - len(self.data)
        self.data += data[:room]
        self.is_cut |= len(data) > room

    def text(self) -> str:
        return self.data.decode(errors="replace") + ("…" if self.is_cut else "")


class Tracked:
    """Thread: the event loop's, which alone writes; :meth:`live` and :meth:`stop_soon` any.

    Nothing is done for each token: the engine's events come already collected, some thirty a second and request.
    """

    def __init__(self, request_id: int, origin: Origin, *, keeps_bodies: bool) -> None:
        self.id = request_id
        self.origin = origin
        self.is_work = False
        self.model: str | None = None
        self._loop = asyncio.get_running_loop()
        self._arrived_s = time.time()
        self._arrived = time.monotonic()
        self._first_token: float | None = None
        self._parts: dict[RequestId, _Part] = {}
        self._waiting: asyncio.Task[Any] | None = None
        self._is_stopped = False
        self._status: int | None = None
        self._is_answered = False
        self._error: str | None = None
        self._keeps_bodies = keeps_bodies
        self._request_body = _Beginning(MAX_BODY_BYTES)
        self._response_body = _Beginning(MAX_BODY_BYTES if keeps_bodies else _MAX_ERROR_BYTES)

    @property
    def status(self) -> int | None:
        return self._status

    @contextmanager
    def waiting_for(self, model: str | None) -> Iterator[None]:
        """Around the wait for a model. Raises ApiError where somebody stopped the request."""
        self.is_work, self.model = True, model
        self._check()
        self._waiting = asyncio.current_task()
        try:
            yield
        except asyncio.CancelledError:
            if self._is_stopped and self._waiting is not None and self._waiting.uncancel() == 0:
                raise from_engine(STOPPED) from None
            raise
        finally:
            self._waiting = None

    def opened(self, request_id: RequestId, stop: Callable[[], None], phase: LivePhase = LivePhase.QUEUED) -> None:
        """The engine is about to be asked; ``stop`` ends that. Raises ApiError where somebody stopped the request."""
        self.is_work = True
        self._check()
        self._parts[request_id] = _Part(stop, phase)

    def heard(self, event: Told) -> None:
        """What the engine says about a request that was opened."""
        part = self._parts[event.request_id]
        match event:
            case TokensEmitted(n_tokens=n_tokens):
                part.n_output = n_tokens
                if self._first_token is None or part.phase is not LivePhase.DECODING:
                    part.phase = LivePhase.DECODING
                    self._first_token = self._first_token or time.monotonic()
            case RequestStarted(n_prompt=n_prompt, n_cached=n_cached):
                part.phase, part.n_prompt, part.n_cached = LivePhase.PREFILL, n_prompt, n_cached
            case RequestFinished(usage=usage, timings=timings):
                part.n_prompt, part.n_cached, part.n_output = usage.n_prompt, usage.n_cached, usage.n_output
                part.decode_s = timings.decode_s
            case Embedded(n_tokens=n_tokens):
                part.n_prompt = n_tokens
            case RequestFailed(error=error):
                self._error = error.sentence

    def stop_soon(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: then it is over already
            self._loop.call_soon_threadsafe(self._stop)

    def receiving(self, receive: Receive) -> Receive:
        """``receive``, with an eye on the body where it is kept."""
        if not self._keeps_bodies:
            return receive

        async def watched() -> Message:
            message = await receive()
            self._request_body.add(message.get("body", b""))
            return message

        return watched

    def sending(self, send: Send) -> Send:
        """``send``, with an eye on how it goes."""

        def watched(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                self._status = message["status"]
            elif message["type"] == "http.response.body":
                self._is_answered = not message.get("more_body", False)
                if self._keeps_bodies or self._is_refused:
                    self._response_body.add(message.get("body", b""))
            return send(message)

        return watched

    def cut_off(self) -> None:
        """The server did not wait for its end."""
        self._error = self._error or "The server was turned off."

    def live(self) -> LiveRequest:
        phases, first = {part.phase for part in list(self._parts.values())}, self._first_token
        now = time.monotonic()
        facts = self._facts()
        return LiveRequest(
            **facts,
            elapsed_s=now - self._arrived,
            tokens_per_s=None if first is None else _rate(facts["n_output"], now - first),
            phase=next((phase for phase in _LATEST_FIRST if phase in phases), LivePhase.LOADING),
        )

    def logged(self) -> LoggedRequest:
        """What became of it, once it is over."""
        facts = self._facts()
        decode_s = max((part.decode_s or 0.0 for part in self._parts.values()), default=0.0)
        return LoggedRequest(
            **facts,
            duration_s=time.monotonic() - self._arrived,
            first_token_s=None if self._first_token is None else self._first_token - self._arrived,
            tokens_per_s=_rate(facts["n_output"], decode_s),
            status=self._status,
            error=self._what_went_wrong(),
            bodies=Bodies(self._request_body.text(), self._response_body.text()) if self._keeps_bodies else None,
        )

    @property
    def _is_refused(self) -> bool:
        return self._status is not None and self._status >= 400

    def _facts(self) -> dict[str, Any]:
        """What a live request and one that is over have in common."""
        parts = list(self._parts.values())
        return {
            "id": self.id,
            "started_s": self._arrived_s,
            "surface": self.origin.surface,
            "method": self.origin.method,
            "endpoint": self.origin.path,
            "model": self.model,
            "client": self.origin.client,
            "agent": self.origin.agent,
            "n_prompt": sum(part.n_prompt for part in parts),
            "n_cached": sum(part.n_cached for part in parts),
            "n_output": sum(part.n_output for part in parts),
        }

    def _check(self) -> None:
        if self._is_stopped:
            raise from_engine(STOPPED)

    def _stop(self) -> None:
        self._is_stopped = True
        if self._waiting is not None:
            self._waiting.cancel()
        for part in self._parts.values():
            part.stop()

    def _what_went_wrong(self) -> str | None:
        if self._error is not None:
            return self._error
        if self._is_refused:
            return _message_in(self._response_body.data) or f"HTTP {self._status}"
        return None if self._is_answered else "The client went away."


_LATEST_FIRST = (LivePhase.DECODING, LivePhase.PREFILL, LivePhase.QUEUED)
_current: ContextVar[Tracked | None] = ContextVar("tracked", default=None)


def current() -> Tracked | None:
    """The HTTP request that this task works for."""
    return _current.get()


@contextmanager
def tracking(tracked: Tracked) -> Iterator[None]:
    """Let this task, and those that it starts, work for the request."""
    token = _current.set(tracked)
    try:
        yield
    finally:
        _current.reset(token)


def _rate(n_output: int, seconds: float) -> float | None:
    """Tokens after the first per second, or None where there is nothing to divide."""
    return (n_output - 1) / seconds if n_output > 1 and seconds > 0 else None


def _message_in(body: bytearray) -> str | None:
    """What the body of an error says, in the shape of OpenAI, Anthropic or Ollama."""
    try:
        error = msgspec.json.decode(body)["error"]
        message = error if isinstance(error, str) else error["message"]
    except (ValueError, KeyError, TypeError):
        return None
    return str(message)[:_MAX_ERROR_CHARS]
