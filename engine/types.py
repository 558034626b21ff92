"""Values that cross the engine's boundary: requests, their settings, and what came of them.

All are frozen and encode to MessagePack without pickle (see ``engine.wire``). Units stand in the names.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NewType

import msgspec

RequestId = NewType("RequestId", str)
TokenId = NewType("TokenId", int)
SeqId = NewType("SeqId", int)


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class ChatMessage(msgspec.Struct, frozen=True):
    role: Role
    content: str


class SamplingParams(msgspec.Struct, frozen=True):
    """How the next token is drawn. ``temperature == 0`` is greedy and ignores everything else but penalties.

    Ranges are checked by :meth:`problem`, because some values out of range abort llama.cpp
    (``repeat_last_n = 2**31 - 1`` is a failed allocation there).
    """

    temperature: float = 0.7
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    seed: int | None = None

    def problem(self) -> str | None:
        """The first setting that is out of range, as a sentence, or None."""
        ranges: tuple[tuple[str, float, float, float], ...] = (
            ("temperature", self.temperature, 0.0, 5.0),
            ("top_k", self.top_k, 0, 1_000_000),
            ("top_p", self.top_p, 0.0, 1.0),
            ("min_p", self.min_p, 0.0, 1.0),
            ("repeat_penalty", self.repeat_penalty, 0.1, 5.0),
            ("repeat_last_n", self.repeat_last_n, 0, 65_536),
            ("seed", 0 if self.seed is None else self.seed, 0, 2**32 - 2),
        )
        for name, value, low, high in ranges:
            if not low <= value <= high:  # false for NaN, which is the point
                return f"{name} is {value}, but it must lie between {low:g} and {high:g}."
        return None


class GenerationRequest(msgspec.Struct, frozen=True):
    """One answer to be made. ``max_tokens`` is None for "until the model stops or the context is full"."""

    id: RequestId
    messages: tuple[ChatMessage, ...]
    sampling: SamplingParams = SamplingParams()
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()


class FinishReason(StrEnum):
    END_OF_TURN = "end_of_turn"
    STOP_STRING = "stop_string"
    MAX_TOKENS = "max_tokens"
    CONTEXT_FULL = "context_full"
    CANCELLED = "cancelled"


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one request. ``n_cached`` of the ``n_prompt`` tokens were in the KV cache already."""

    n_prompt: int
    n_cached: int
    n_output: int
    n_ctx: int

    def __post_init__(self) -> None:
        if not 0 <= self.n_cached <= self.n_prompt:
            raise ValueError(f"cached tokens must be part of the prompt: {self!r}")

    @property
    def n_context_used(self) -> int:
        return self.n_prompt + self.n_output


class Timings(msgspec.Struct, frozen=True):
    """Measured in the worker on its monotonic clock. ``decode_s`` runs from the first token to the last."""

    queued_s: float
    first_token_s: float | None
    decode_s: float

    def decode_tokens_per_s(self, n_output: int) -> float | None:
        """Tokens after the first per second of decoding, or None where there is nothing to divide."""
        if n_output < 2 or self.decode_s <= 0:
            return None
        return (n_output - 1) / self.decode_s


class ModelInfo(msgspec.Struct, frozen=True):
    """What a loaded model is, as llama.cpp reports it, and how it was loaded."""

    path: str
    name: str
    architecture: str
    description: str
    n_params: int
    size_bytes: int
    n_ctx_train: int
    n_ctx: int
    n_vocab: int
    n_threads: int
    has_chat_template: bool
    load_s: float
