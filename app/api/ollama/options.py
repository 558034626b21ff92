"""Ollama's ``options`` and ``keep_alive``, and what they mean to the engine."""

from __future__ import annotations

import math
import re
from typing import Annotated

import msgspec
from msgspec import Meta

from app.api.fields import Penalty, RepeatPenalty, Seed, Share, Stop, Temperature, sampling
from engine.types import SamplingParams

_WHOLE_CONTEXT = 65_536
"""As many tokens as the engine looks back at most."""

_LONGEST_S = 10 * 365 * 86_400.0
_NUMBER = r"(?:[0-9]{1,12}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})"
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(rf"({_NUMBER})(ns|us|µs|ms|s|m|h)")

KeepAlive = (
    Annotated[float, Meta(ge=-1e12, le=1e12)]
    | Annotated[str, Meta(pattern=rf"^[+-]?({_NUMBER}|({_NUMBER}(ns|us|µs|ms|s|m|h)){{1,8}})$")]
)
"""Seconds, as a number or as text, or one of Go's durations: "5m", "1h30m". Anything below zero is for good."""


class Options(msgspec.Struct):
    """What is used of them; options that set up a model (``num_gpu``, ``num_thread``) are ignored, as unknown ones are.

    ``num_ctx`` cannot change a model that is loaded: the end of the answer tells what it has.
    """

    temperature: Temperature | None = None
    top_k: Annotated[int, Meta(ge=-1, le=1_000_000)] | None = None
    top_p: Share | None = None
    min_p: Share | None = None
    typical_p: Share | None = None
    repeat_penalty: RepeatPenalty | None = None
    repeat_last_n: Annotated[int, Meta(ge=-1, le=_WHOLE_CONTEXT)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    mirostat: Annotated[int, Meta(ge=0, le=2)] | None = None
    mirostat_tau: Annotated[float, Meta(ge=0, le=20)] | None = None
    mirostat_eta: Share | None = None
    seed: Seed | None = None
    num_predict: Annotated[int, Meta(ge=-2, le=2**31 - 1)] | None = None
    num_ctx: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    stop: Stop | None = None

    @property
    def max_tokens(self) -> int | None:
        """-1 is without end, -2 until the context is full, 0 nothing in particular: here that is the same."""
        return self.num_predict if self.num_predict is not None and self.num_predict > 0 else None


def sampling_of(
    options: Options, defaults: SamplingParams, json_schema: str | None, n_logprobs: int | None
) -> SamplingParams:
    """-1 is Ollama's way to say no ``top_k``, and the whole context for ``repeat_last_n``."""
    top_k = 0 if options.top_k == -1 else options.top_k
    last_n = _WHOLE_CONTEXT if options.repeat_last_n == -1 else options.repeat_last_n
    meant = msgspec.structs.replace(options, top_k=top_k, repeat_last_n=last_n)
    return sampling(meant, defaults, json_schema=json_schema, n_logprobs=n_logprobs)


def keep_alive_s(asked: float | str | None) -> float | None:
    """None is the usual time, infinity is for good."""
    if asked is None:
        return None
    seconds = asked if isinstance(asked, float) else _seconds(asked)
    return math.inf if seconds < 0 or seconds > _LONGEST_S else seconds


def _seconds(text: str) -> float:
    sign, bare = (-1.0 if text.startswith("-") else 1.0), text.lstrip("+-")
    parts = _PART.findall(bare)
    return sign * (sum(float(number) * _UNITS[unit] for number, unit in parts) if parts else float(bare))
