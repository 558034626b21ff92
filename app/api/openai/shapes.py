"""Parts that the answers of several of OpenAI's endpoints share, and llama-server's ``timings``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from app.api.openai.answers import Answer
from engine.events import RequestFinished
from engine.reuse import ReuseReport
from engine.types import FinishReason, TokenLogprob

encode = msgspec.json.Encoder().encode
DONE = b"data: [DONE]\n\n"
FinishWord = Literal["stop", "length", "tool_calls"]
FINISH_REASONS: dict[FinishReason, FinishWord] = {
    FinishReason.END_OF_TURN: "stop",
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.STOP_STRING: "stop",
    FinishReason.MAX_TOKENS: "length",
    FinishReason.CONTEXT_FULL: "length",
    FinishReason.CANCELLED: "stop",
}


class PromptDetails(msgspec.Struct):
    cached_tokens: int


class OutputDetails(msgspec.Struct):
    reasoning_tokens: int


class Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: OutputDetails


class Reuse(msgspec.Struct):
    """Where the prompt's tokens came from: cells, RAM, disk, or computed anew, and why."""

    cells_n: int
    ram_n: int
    disk_n: int
    new_n: int
    restore_ms: float
    reasons: dict[str, int]


class Timings(msgspec.Struct):
    """llama-server's names. Rates leave the first token out, whose time is the prompt's; null where nothing was timed.

    ``prompt_n`` counts the tokens that were computed, ``cache_n`` those that were there already.
    """

    cache_n: int
    prompt_n: int
    prompt_ms: float | None
    prompt_per_second: float | None
    predicted_n: int
    predicted_ms: float
    predicted_per_second: float | None
    queued_ms: float
    reuse: Reuse | None


class Likely(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int]


class Logprob(Likely):
    top_logprobs: list[Likely]


def usage_of(answers: Sequence[Answer], n_alike: int = 1) -> Usage:
    """Of all answers together; ``n_alike`` of them at a time have one prompt, which counts once."""
    finished = [answer.finished for answer in answers if answer.finished is not None]
    prompts = [event.usage for event in finished[::n_alike]]
    n_prompt = sum(usage.n_prompt for usage in prompts)
    n_output = sum(event.usage.n_output for event in finished)
    return Usage(
        n_prompt,
        n_output,
        n_prompt + n_output,
        PromptDetails(sum(usage.n_cached for usage in prompts)),
        OutputDetails(sum(answer.n_reasoning for answer in answers)),
    )


def timings(finished: RequestFinished) -> Timings:
    usage, times = finished.usage, finished.timings
    n_computed = usage.n_prompt - usage.n_cached
    prompt_s = None if times.first_token_s is None else times.first_token_s - times.queued_s
    return Timings(
        cache_n=usage.n_cached,
        prompt_n=n_computed,
        prompt_ms=None if prompt_s is None else prompt_s * 1e3,
        prompt_per_second=n_computed / prompt_s if prompt_s else None,
        predicted_n=usage.n_output,
        predicted_ms=times.decode_s * 1e3,
        predicted_per_second=times.decode_tokens_per_s(usage.n_output),
        queued_ms=times.queued_s * 1e3,
        reuse=None if finished.reuse is None else _reuse(finished.reuse),
    )


def _reuse(report: ReuseReport) -> Reuse:
    return Reuse(
        cells_n=report.n_cells,
        ram_n=report.n_ram,
        disk_n=report.n_disk,
        new_n=report.n_new,
        restore_ms=report.restore_s * 1e3,
        reasons=dict(report.reasons),
    )


def logprobs_of(tokens: Iterable[TokenLogprob]) -> list[Logprob]:
    return [_logprob(token) for token in tokens]


def _logprob(token: TokenLogprob) -> Logprob:
    best = [Likely(shown(piece), logprob, list(piece)) for piece, logprob in token.best]
    return Logprob(shown(token.piece), token.logprob, list(token.piece), best)


def shown(piece: bytes) -> str:
    return piece.decode(errors="replace")
