"""The state of the API and what goes through it, in words."""

from __future__ import annotations

from datetime import datetime

from app.api.service import ApiPhase, ApiState
from app.api.traffic import LivePhase, LiveRequest, LoggedRequest, TrafficSnapshot
from ui.models.words import tokens_text

STATE_WORDS = {
    ApiPhase.OFF: "Off",
    ApiPhase.STARTING: "Starting",
    ApiPhase.ON: "On",
    ApiPhase.STOPPING: "Stopping",
    ApiPhase.FAILED: "Not running",
}
STATE_COLORS: dict[ApiPhase, str | None] = {
    ApiPhase.OFF: None,
    ApiPhase.STARTING: "warn",
    ApiPhase.ON: "accent",
    ApiPhase.STOPPING: "warn",
    ApiPhase.FAILED: "bad",
}

OFF_WORDS = (
    "Turn it on, and editors, agents and scripts on this machine can use your models in the way they use OpenAI, "
    "Anthropic or Ollama."
)
_LIVE_WORDS = {
    LivePhase.LOADING: "Loading the model",
    LivePhase.QUEUED: "Waiting",
    LivePhase.PREFILL: "Reading",
    LivePhase.DECODING: "Writing",
}
_N_PROGRAM_CHARS = 40


def state_sentence(state: ApiState) -> str:
    """What the state means for whoever wants to use it."""
    match state.phase:
        case ApiPhase.ON:
            return "Programs reach your models at these addresses."
        case ApiPhase.STARTING:
            return "A moment."
        case ApiPhase.STOPPING:
            return "Requests that are under way end with an error."
        case ApiPhase.FAILED:
            return state.error.sentence if state.error is not None else "It could not be started."
    return OFF_WORDS


def program(agent: str, client: str) -> str:
    """What asks, by the name that it gives itself: ``OpenAI/Python 1.2``, else its address."""
    name = agent.split(" (")[0].strip()
    return name[:_N_PROGRAM_CHARS] or client


def clock(at_s: float) -> str:
    return datetime.fromtimestamp(at_s).strftime("%H:%M:%S")


def duration(seconds: float) -> str:
    """``12 ms``, ``0.12 s``, ``3.4 s``, ``48 s``, ``2 min 5 s``"""
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def speed(tokens_per_s: float | None) -> str:
    if not tokens_per_s:
        return ""
    return f"{tokens_per_s:.1f} tok/s" if tokens_per_s < 10 else f"{tokens_per_s:.0f} tok/s"


def live_phase(request: LiveRequest) -> str:
    """``Reading 1,204 tokens``, ``Writing``"""
    words = _LIVE_WORDS[request.phase]
    n_new = request.n_prompt - request.n_cached
    return f"{words} {tokens_text(n_new)}" if request.phase is LivePhase.PREFILL and n_new > 0 else words


def live_tokens(request: LiveRequest) -> str:
    """``1,204 in, 88 out``"""
    if not request.n_prompt:
        return ""
    return f"{request.n_prompt:,} in, {request.n_output:,} out"


def status(request: LoggedRequest) -> str:
    return "left" if request.status is None else str(request.status)


def is_trouble(request: LoggedRequest) -> bool:
    """Whether something went wrong, be it only that the client went away."""
    return request.error is not None or request.status is None or request.status >= 400


def logged_tokens(request: LoggedRequest) -> str:
    return f"{request.n_prompt:,} in, {request.n_output:,} out" if request.n_prompt else ""


def figures(traffic: TrafficSnapshot) -> str:
    """``2 running  ·  1 waiting  ·  124 tok/s``"""
    n_running = len(traffic.live) - traffic.n_queued
    parts = (
        f"{n_running:,} running" if traffic.live else "",
        f"{traffic.n_queued:,} waiting" if traffic.n_queued else "",
        speed(traffic.tokens_per_s),
    )
    return "  ·  ".join(part for part in parts if part)


def totals(traffic: TrafficSnapshot) -> str:
    """``56 requests, 2 of them with errors``"""
    if not traffic.n_requests:
        return ""
    requests = "1 request" if traffic.n_requests == 1 else f"{traffic.n_requests:,} requests"
    return f"{requests}, {traffic.n_errors:,} with errors" if traffic.n_errors else requests
