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
    TOOL = "tool"


class ToolCall(msgspec.Struct, frozen=True):
    """A call that a model made. ``arguments`` is JSON text, as the model wrote it."""

    id: str
    name: str
    arguments: str


class ToolCallPart(msgspec.Struct, frozen=True):
    """A piece of a call that streams: ``id`` and ``name`` come whole with its first piece and are empty after that.

    ``index`` counts the calls of one answer from 0; the ``arguments`` of all its pieces joined are its JSON text.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class Tool(msgspec.Struct, frozen=True):
    """A function that a model may ask for. ``parameters`` is a JSON schema as JSON text."""

    name: str
    description: str = ""
    parameters: str = "{}"


class ToolMode(StrEnum):
    """Whether the model may call a tool, must not, must call one, or must call the one that is named."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    NAMED = "named"


class ToolChoice(msgspec.Struct, frozen=True):
    mode: ToolMode = ToolMode.AUTO
    name: str | None = None
    at_most_one: bool = False


class ChatMessage(msgspec.Struct, frozen=True):
    """A message of a conversation.

    ``reasoning`` and ``tool_calls`` belong to the assistant's; a message of role TOOL is the result of the call
    ``tool_call_id`` of the function ``name``.
    """

    role: Role
    content: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


class SamplingParams(msgspec.Struct, frozen=True):
    """How the next token is drawn. ``temperature == 0`` is greedy: only penalties, bias and grammar still count.

    The samplers run in llama.cpp's order: grammar, bias, penalties, DRY, top-k, typical, top-p, min-p, XTC,
    temperature. Mirostat (1 or 2; Basu et al. 2021) takes the place of everything after DRY. Ranges are checked by
    :meth:`problem`, because some values out of range abort llama.cpp (``repeat_last_n = 2**31 - 1`` is a failed
    allocation there).
    """

    temperature: float = 0.7
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    typical_p: float = 1.0
    repeat_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repeat_last_n: int = 64
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_last_n: int = 1024
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    seed: int | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()
    """Pairs of token id and what is added to its logit; -100 forbids and 100 forces, as in OpenAI's API."""

    grammar: str | None = None
    """GBNF, llama.cpp's grammar format, with a rule named root."""

    json_schema: str | None = None
    """A JSON schema as JSON text, which becomes a grammar. Only one of the two may be set."""

    n_logprobs: int | None = None
    """Report each token's log-probability and those of so many best ones; None reports nothing."""

    @property
    def has_penalties(self) -> bool:
        changes = self.repeat_penalty != 1.0 or self.frequency_penalty != 0.0 or self.presence_penalty != 0.0
        return changes and self.repeat_last_n > 0

    def problem(self) -> str | None:
        """The first setting that is out of range, as a sentence, or None."""
        for name, low, high in _SAMPLING_RANGES:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:  # false for NaN, which is the point
                return f"{name} is {value}, but it must lie between {low:g} and {high:g}."
        if self.grammar is not None and self.json_schema is not None:
            return "There may be a grammar or a JSON schema, not both."
        if len(self.logit_bias) > _MAX_BIASES or any(not -1000 <= bias <= 1000 for _, bias in self.logit_bias):
            return f"logit_bias may name {_MAX_BIASES} tokens with values between -1000 and 1000."
        return None


_MAX_BIASES = 1024
_SAMPLING_RANGES: tuple[tuple[str, float, float], ...] = (
    ("temperature", 0.0, 5.0),
    ("top_k", 0, 1_000_000),
    ("top_p", 0.0, 1.0),
    ("min_p", 0.0, 1.0),
    ("typical_p", 0.0, 1.0),
    ("repeat_penalty", 0.1, 5.0),
    ("frequency_penalty", -5.0, 5.0),
    ("presence_penalty", -5.0, 5.0),
    ("repeat_last_n", 0, 65_536),
    ("dry_multiplier", 0.0, 10.0),
    ("dry_base", 1.0, 10.0),
    ("dry_allowed_length", 1, 1024),
    ("dry_last_n", 0, 65_536),
    ("xtc_probability", 0.0, 1.0),
    ("xtc_threshold", 0.0, 1.0),
    ("mirostat", 0, 2),
    ("mirostat_tau", 0.0, 20.0),
    ("mirostat_eta", 0.0, 1.0),
    ("seed", 0, 2**32 - 2),
    ("n_logprobs", 0, 20),
)


class Overflow(StrEnum):
    """What to do with a prompt that does not fit into the context: refuse it, or leave the oldest turns out."""

    STOP = "stop"
    ROLL = "roll"


class AdapterUse(msgspec.Struct, frozen=True):
    """A LoRA adapter's file, and how much of it counts: 1 is as it was trained, 0 is not at all."""

    path: str
    scale: float = 1.0


class GenerationRequest(msgspec.Struct, frozen=True):
    """One answer to be made. ``max_tokens`` is None for "until the model stops or the context is full".

    ``conversation`` names what the request belongs to, for whoever wants to see, pin or drop what is remembered of it.
    """

    id: RequestId
    messages: tuple[ChatMessage, ...]
    sampling: SamplingParams = SamplingParams()
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    conversation: str | None = None
    overflow: Overflow = Overflow.STOP
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    prompt: str | tuple[int, ...] | None = None
    """Text or tokens to go on from, as they stand, without a chat template; then there are no messages."""

    continues: bool = False
    """The last message is the beginning of the answer, which goes on from there."""

    thinking: bool | None = None
    """Whether a model that can do either reasons before it answers; None leaves it to its template."""

    reasoning_effort: str | None = None
    """low, medium or high, for models whose template knows the word."""

    adapters: tuple[AdapterUse, ...] = ()
    """Requests with different ones are not answered at the same time, and share nothing in the cache."""


class EmbeddingRequest(msgspec.Struct, frozen=True):
    """Texts, or texts as tokens, whose vectors are wanted."""

    id: RequestId
    inputs: tuple[str | tuple[int, ...], ...]


class FinishReason(StrEnum):
    END_OF_TURN = "end_of_turn"
    TOOL_CALLS = "tool_calls"
    STOP_STRING = "stop_string"
    MAX_TOKENS = "max_tokens"
    CONTEXT_FULL = "context_full"
    CANCELLED = "cancelled"


class TokenLogprob(msgspec.Struct, frozen=True):
    """A token of an answer with its natural log-probability, and the likeliest ones in its place, the best first."""

    piece: bytes
    logprob: float
    best: tuple[tuple[bytes, float], ...] = ()


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


class DraftVerdict(StrEnum):
    """What became of drafting in an answer: it was done, there was nothing to guess, or it would have cost more."""

    DRAFTED = "drafted"
    NOTHING_TO_GUESS = "nothing_to_guess"
    NOT_WORTH_IT = "not_worth_it"


class DraftReport(msgspec.Struct, frozen=True):
    """Tokens of one answer that were guessed, and how many of them held; ``n_from_model`` came from the draft model.

    ``plain_tokens_per_s`` is what the same batches would have yielded without, by what they were measured to cost; 0
    where that is not known.
    """

    n_drafted: int = 0
    n_accepted: int = 0
    n_from_model: int = 0
    plain_tokens_per_s: float = 0.0
    verdict: DraftVerdict = DraftVerdict.NOTHING_TO_GUESS


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
    can_cut_cache: bool = True
    """Whether its KV cache can be kept in pages; otherwise it is kept whole, at a few points of a conversation."""

    can_chat: bool = True
    """Whether it writes text; a model made for embeddings alone does not."""

    can_embed: bool = True
    n_embd: int = 0
    """Length of its embedding vectors."""

    can_call_tools: bool = False
    """Whether its chat template has a form for tools of its own; others are told about them in plain words."""

    can_reason: bool = False
    """Whether its template marks reasoning as such."""

    is_remote: bool = False
    """Whether another machine's server runs it: numbers that it does not tell are 0, and its memory is its own."""

    draft_name: str | None = None
    """The model that guesses for this one, where one is loaded beside it."""

    draft_problem: str | None = None
    """Why nothing is drafted, or not by the model that was to do it, as a sentence."""

    template_problem: str | None = None
    """Why the chat template of its file is not used, as a sentence, where it does not work."""
