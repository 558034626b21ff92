"""The seam between the engine's decisions and what computes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from engine.cells import Cells, KvLayout
from engine.step import StepPlan, StepResult
from engine.types import ModelInfo, RequestId, SamplingParams, TokenId


class Vocab(Protocol):
    """Text to tokens and back, as the model's own tokenizer does it."""

    @property
    def bos_text(self) -> str: ...

    @property
    def eos_text(self) -> str: ...

    @property
    def special_texts(self) -> frozenset[str]:
        """Texts that become control tokens where special tokens are parsed, and only there."""

    @property
    def prefix(self) -> tuple[TokenId, ...]:
        """What the model wants before any text: its BOS token, or nothing."""

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Tokens of ``text``; control tokens in it are recognised only where ``special`` is set. Adds nothing."""

    def piece(self, token: TokenId) -> bytes:
        """The bytes of a token, maybe a part of a character. Empty for control tokens."""

    def ends_turn(self, token: TokenId) -> bool: ...


class Backend(Protocol):
    """A loaded model with its context. Thread: the engine's, but for :meth:`interrupt`."""

    @property
    def info(self) -> ModelInfo: ...

    @property
    def vocab(self) -> Vocab: ...

    @property
    def chat_template(self) -> str | None: ...

    @property
    def layout(self) -> KvLayout: ...

    @property
    def cells(self) -> Cells: ...

    def open_sampler(self, request_id: RequestId, params: SamplingParams, history: Sequence[TokenId]) -> None:
        """Make the sampling chain of a request; the tokens of ``history`` count for penalties."""

    def close_sampler(self, request_id: RequestId) -> None:
        """Free it. One that does not exist is ignored."""

    def decode(self, plan: StepPlan) -> StepResult: ...

    def set_threads(self, n_threads: int) -> None:
        """Compute with that many from the next decode on."""

    def interrupt(self) -> None:
        """Make the decode that runs now end early, unless it is over in a moment anyway. Thread: any."""

    def close(self) -> None: ...
