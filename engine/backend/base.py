"""The seam between the engine's decisions and what computes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.cells import Cells, KvLayout
from engine.config import LoadSpec
from engine.receipt import DeviceMemory, Receipt
from engine.step import StepPlan, StepResult
from engine.types import AdapterUse, ModelInfo, RequestId, SamplingParams, TokenId


class Vocab(Protocol):
    """Text to tokens and back, as the model's own tokenizer does it."""

    @property
    def n_tokens(self) -> int: ...

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

    def tokenize_alone(self, text: str) -> list[int]:
        """Tokens of a text that stands for itself, between those that the model wants around one. All of it is text."""

    def piece(self, token: TokenId) -> bytes:
        """The bytes of a token, maybe a part of a character. Empty for control tokens."""

    def ends_turn(self, token: TokenId) -> bool: ...


@dataclass(frozen=True, slots=True)
class EmbedStep:
    """``n_tokens`` were computed, none where it was interrupted.

    ``vectors`` has one for each input, as ``events.Embedded`` has them, when the batch is done.
    """

    n_tokens: int
    vectors: tuple[bytes, ...] | None = None


class Embedder(Protocol):
    """Makes vectors of texts, one batch after the other. Its memory is taken by the first one. Thread: the engine's."""

    @property
    def max_tokens(self) -> int:
        """What the longest input may have."""

    @property
    def batch_tokens(self) -> int:
        """How many tokens are worth computing at once. A single longer input is a batch, too."""

    @property
    def batch_inputs(self) -> int: ...

    def open(self, inputs: Sequence[Sequence[int]]) -> None:
        """Begin a batch, in place of the one before. Raises OutOfMemory."""

    def step(self, n_most: int) -> EmbedStep:
        """Compute up to so many tokens of the batch, or all where the model reads an input only as a whole.

        Raises EngineStopped, ModelFileError; the batch is over then.
        """

    def release(self) -> None:
        """Give the memory back until the next batch."""


class Adapters(Protocol):
    """What can be put over the model's weights. Thread: the engine's."""

    def check(self, uses: Sequence[AdapterUse]) -> None:
        """Have them ready. Raises ModelFileError for one that does not fit."""

    def apply(self, uses: Sequence[AdapterUse]) -> None:
        """Compute with exactly these from now on, which were checked; the cells are empty afterwards."""


class Draft(Protocol):
    """A small model that guesses what the target will say, with cells of its own. Thread: the target's.

    Its sequences are not the target's. ``read`` computes tokens; ``guess`` draws, in each of the plan's rounds, with
    copies of the samplers that the target has for these requests.
    """

    @property
    def name(self) -> str: ...

    @property
    def n_vocab(self) -> int: ...

    @property
    def layout(self) -> KvLayout: ...

    @property
    def cells(self) -> Cells: ...

    def read(self, plan: StepPlan) -> StepResult: ...

    def guess(self, plan: StepPlan) -> StepResult: ...

    def time_rows(self, n_rows: int) -> float:
        """As ``Backend.time_rows``."""


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

    @property
    def embedder(self) -> Embedder: ...

    @property
    def adapters(self) -> Adapters: ...

    def open_sampler(self, request_id: RequestId, params: SamplingParams, history: Sequence[TokenId]) -> None:
        """Make the sampling chain of a request; the tokens of ``history`` count for penalties."""

    def close_sampler(self, request_id: RequestId) -> None:
        """Free it. One that does not exist is ignored."""

    def decode(self, plan: StepPlan) -> StepResult: ...

    def set_threads(self, n_decode: int, n_prefill: int) -> None:
        """Compute with that many from the next batch on: single tokens, and several at once."""

    def time_batch(self, n_tokens: int, n_threads: int) -> float:
        """Seconds that a batch of so many tokens takes. The cells must be empty, and are empty afterwards."""

    def time_rows(self, n_rows: int) -> float:
        """The same for a batch in which every token yields one, with the threads that are set. At most 32."""

    @property
    def draft(self) -> Draft | None:
        """The model that guesses for this one, once it is loaded."""

    def load_draft(self, spec: LoadSpec) -> None:
        """Load the model that guesses. Raises ModelFileError, OutOfMemory, InvalidRequest; nothing has changed then."""

    def receipt(self) -> Receipt:
        """What was taken until now, beside what was planned. Asks the devices what they have left."""

    def read_memory(self) -> tuple[DeviceMemory, ...]:
        """What every device has left now. Thread: any."""

    def interrupt(self) -> None:
        """Make the decode that runs now end early, unless it is over in a moment anyway. Thread: any."""

    def hurry(self) -> None:
        """Make it end with the round that is computed now. Thread: any."""

    def close(self) -> None: ...
