"""A backend that follows a script: engine tests need no model.

Tokens are the code points of the text, control tokens are single private characters, and every request is answered
with the same script unless it names its own.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from engine.backend.base import Draft, EmbedStep
from engine.cells import Blob, Cells, KvLayout
from engine.config import LoadSpec
from engine.errors import ModelFileError
from engine.receipt import DeviceMemory, Receipt
from engine.spec.acceptance import accept
from engine.step import Chunk, Sample, StepPlan, StepResult, StepStatus
from engine.types import AdapterUse, ModelInfo, RequestId, SamplingParams, SeqId, TokenId

END_OF_TURN = TokenId(0)
START = TokenId(1)
_CONTROL_TEXTS = {"<|end|>": END_OF_TURN, "<|start|>": START}
TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message.role }}\n{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


class FakeVocab:
    """One token a character. ``byte_tokens`` splits characters beyond ASCII into one token a byte instead."""

    n_tokens = 0x200100
    bos_text = ""
    eos_text = "<|end|>"
    special_texts = frozenset(_CONTROL_TEXTS)
    prefix: tuple[TokenId, ...] = ()
    _FIRST_BYTE = 0x200000

    def tokenize(self, text: str, special: bool) -> list[int]:
        tokens: list[int] = []
        while text:
            found = next((name for name in _CONTROL_TEXTS if special and text.startswith(name)), None)
            if found is not None:
                tokens.append(_CONTROL_TEXTS[found])
                text = text[len(found) :]
            else:
                tokens.append(ord(text[0]) + 16)
                text = text[1:]
        return tokens

    def tokenize_alone(self, text: str) -> list[int]:
        return [START, *self.tokenize(text, special=False)] if text else []

    def byte_tokens(self, text: str) -> list[TokenId]:
        return [TokenId(self._FIRST_BYTE + byte) for byte in text.encode()]

    def piece(self, token: TokenId) -> bytes:
        if token < 16:
            return b""
        return bytes([token - self._FIRST_BYTE]) if token >= self._FIRST_BYTE else chr(token - 16).encode()

    def ends_turn(self, token: TokenId) -> bool:
        return token == END_OF_TURN


class ScriptedCells(Cells, Protocol):
    """Cells that are told what was computed."""

    def compute(self, seq: SeqId, tokens: Sequence[TokenId]) -> None: ...


class NoCells:
    """Cells that agree to everything and keep nothing."""

    def compute(self, seq: SeqId, tokens: Sequence[TokenId]) -> None:
        pass

    def share(self, src: SeqId, dst: SeqId, begin: int, end: int) -> None:
        pass

    def trim(self, seq: SeqId, n_keep: int) -> bool:
        return True

    def save(self, seq: SeqId, begin: int, end: int) -> bytes | None:
        return None

    def restore(self, seq: SeqId, begin: int, end: int, data: Blob) -> bool:
        return False


@dataclass(slots=True)
class FakeEmbedder:
    """The vector of an input is (its number of tokens, its first token), not normalised.

    ``batches`` and ``steps`` keep what was asked for. ``problems`` are raised one a step before all goes well.
    """

    max_tokens: int = 100
    batch_tokens: int = 20
    batch_inputs: int = 4
    batches: list[list[list[int]]] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    problems: list[Exception] = field(default_factory=list)
    is_open: bool = False
    n_left: int = 0

    def open(self, inputs: Sequence[Sequence[int]]) -> None:
        self.batches.append([list(tokens) for tokens in inputs])
        self.n_left = sum(map(len, inputs))
        self.is_open = True

    def step(self, n_most: int) -> EmbedStep:
        self.steps.append(min(n_most, self.batch_tokens, self.n_left))
        if self.problems:
            raise self.problems.pop(0)
        self.n_left -= self.steps[-1]
        if self.n_left:
            return EmbedStep(self.steps[-1])
        vectors = tuple(struct.pack("<2f", len(tokens), tokens[0]) for tokens in self.batches[-1])
        return EmbedStep(self.steps[-1], vectors)

    def release(self) -> None:
        self.is_open = False


@dataclass(slots=True)
class FakeAdapters:
    """Keeps what was applied; those with "bad" in their path are refused."""

    applied: list[tuple[AdapterUse, ...]] = field(default_factory=list)

    def check(self, uses: Sequence[AdapterUse]) -> None:
        if any("bad" in use.path for use in uses):
            raise ModelFileError("The adapter does not go with this model.", "Turn it off.")

    def apply(self, uses: Sequence[AdapterUse]) -> None:
        self.applied.append(tuple(uses))


@dataclass(slots=True)
class FakeBackend:
    """``answer`` is what every request gets, token by token, then the end of the turn.

    ``statuses`` are used up one a step before DONE becomes the rule again; every plan is kept in ``plans``. A round
    of a step lasts ``step_s``.
    """

    answer: Sequence[TokenId] = ()
    n_ctx: int = 4096
    chat_template: str | None = TEMPLATE
    statuses: list[StepStatus] = field(default_factory=list)
    finite: bool = True
    plans: list[StepPlan] = field(default_factory=list)
    samplers: dict[RequestId, int] = field(default_factory=dict)
    interrupts: int = 0
    n_threads: int = 1
    n_prefill_threads: int = 1
    can_chat: bool = True
    embedder: FakeEmbedder = field(default_factory=FakeEmbedder)
    devices: tuple[DeviceMemory, ...] = ()
    clock_s: float = 0.0
    step_s: float = 1.0
    hurries: int = 0
    draft: Draft | None = None
    draft_to_load: Draft | None = None
    adapters: FakeAdapters = field(default_factory=FakeAdapters)
    vocab: FakeVocab = field(default_factory=FakeVocab)

    cells: ScriptedCells = field(default_factory=NoCells)

    @property
    def layout(self) -> KvLayout:
        return KvLayout(self.n_ctx, n_sequences=8, bytes_per_token=16, can_cut=True, fingerprint="fake", page_tokens=16)

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(
            path="fake.gguf",
            name="Fake",
            architecture="fake",
            description="a script",
            n_params=0,
            size_bytes=0,
            n_ctx_train=self.n_ctx,
            n_ctx=self.n_ctx,
            n_vocab=0x200100,
            n_threads=self.n_threads,
            has_chat_template=self.chat_template is not None,
            load_s=0.0,
            can_chat=self.can_chat,
            n_embd=2,
        )

    def open_sampler(self, request_id: RequestId, params: SamplingParams, history: Sequence[TokenId]) -> None:
        self.samplers[request_id] = 0

    def close_sampler(self, request_id: RequestId) -> None:
        self.samplers.pop(request_id, None)

    def decode(self, plan: StepPlan) -> StepResult:
        self.plans.append(plan)
        self.clock_s += self.step_s
        status = self.statuses.pop(0) if self.statuses else StepStatus.DONE
        started_s = self.clock_s - self.step_s
        if status is not StepStatus.DONE:
            return StepResult(status, started_s, self.clock_s, detail="scripted")
        for chunk in plan.chunks:
            self.cells.compute(chunk.seq_id, chunk.tokens)
        samples = [sample for chunk in plan.chunks if chunk.sample for sample in self._draw(chunk)]
        n_rounds, n_rows = 1, len(plan.chunks)
        while n_rounds < plan.n_rounds and not any(self.vocab.ends_turn(last.token) for last in samples[-n_rows:]):
            for chunk, last in zip(plan.chunks, samples[-n_rows:], strict=True):
                self.cells.compute(chunk.seq_id, [last.token])
            samples += [self._sample(chunk.request_id) for chunk in plan.chunks]
            self.clock_s += self.step_s
            n_rounds += 1
        return StepResult(status, started_s, self.clock_s, tuple(samples), n_rounds=n_rounds)

    def set_threads(self, n_decode: int, n_prefill: int) -> None:
        self.n_threads, self.n_prefill_threads = n_decode, n_prefill

    def time_batch(self, n_tokens: int, n_threads: int) -> float:
        """Twice the threads, half the time."""
        self.n_threads = self.n_prefill_threads = n_threads
        return 0.001 * n_tokens / n_threads

    def time_rows(self, n_rows: int) -> float:
        return self.step_s

    def load_draft(self, spec: LoadSpec) -> None:
        self.draft = self.draft_to_load

    def receipt(self) -> Receipt:
        return Receipt()

    def read_memory(self) -> tuple[DeviceMemory, ...]:
        return self.devices

    def interrupt(self) -> None:
        self.interrupts += 1

    def hurry(self) -> None:
        self.hurries += 1

    def close(self) -> None:
        self.samplers.clear()

    def _draw(self, chunk: Chunk) -> list[Sample]:
        """What the chunk yields; guesses that do not hold leave the cells."""
        run = accept(chunk.drafted, lambda _: self._sample(chunk.request_id), lambda drawn: drawn.token != END_OF_TURN)
        if chunk.n_drafted:
            self.cells.trim(chunk.seq_id, chunk.end - chunk.n_drafted + len(run) - 1)
        return run

    def _sample(self, request_id: RequestId) -> Sample:
        index = self.samplers[request_id]
        self.samplers[request_id] = index + 1
        token = self.answer[index] if index < len(self.answer) else END_OF_TURN
        return Sample(request_id, token, self.finite)
