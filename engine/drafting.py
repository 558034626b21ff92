"""Drafts for running answers: who guesses, with what of the draft model's cache, and what came of it.

The draft model has a ledger of its own, of the same kind as the target's, so that conversations, branches and edits
share pages there, too, and come back from RAM. Only tokens that hold are ever booked in it: guesses stand in the cells
behind what is booked until the target has spoken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.backend.base import Draft
from engine.kv import PagedKv
from engine.sched import ActiveRequest
from engine.spec.controller import MODEL, Asker, Controller, Key
from engine.spec.estimate import MOST_DRAFTED
from engine.spec.ngram import NgramIndex
from engine.step import Chunk, StepPlan, StepResult, StepStatus
from engine.types import DraftReport, DraftVerdict, RequestId, SeqId, TokenId

_READ_AT_ONCE = 64
"""So many tokens the draft model reads between two steps: more would be felt as a halt."""

_STRONG = (8, 5, 3)
"""Guesses after so many tokens that are alike are of one kind: the more, the surer."""


@dataclass(slots=True)
class _Guess:
    """A draft that could be had: its tokens, or None where the model has yet to make them."""

    key: Key
    tokens: tuple[TokenId, ...] | None = None


@dataclass(slots=True)
class _Drafted:
    """What is known of one answer.

    ``n_booked`` tokens are in the draft's ledger, those of ``beyond`` only in its cells, after them.
    """

    conversation: str
    index: NgramIndex = field(default_factory=NgramIndex)
    seq_id: SeqId | None = None
    n_booked: int = 0
    beyond: tuple[TokenId, ...] = ()
    guess: _Guess | None = None
    n_drafted: int = 0
    n_accepted: int = 0
    n_guessed: int = 0
    plain_tokens_per_s: float = 0.0
    verdict: DraftVerdict = DraftVerdict.NOTHING_TO_GUESS


class Drafting:
    """Thread: the engine's. Between two calls of the core nothing is in the draft's cells that its ledger lacks."""

    def __init__(
        self, controller: Controller, n_ctx: int, draft: Draft | None = None, kv: PagedKv | None = None
    ) -> None:
        self._controller = controller
        self._n_ctx = n_ctx
        self._draft = draft
        self._kv = kv
        self._answers: dict[RequestId, _Drafted] = {}
        self._spent_s = 0.0
        self._is_decode = False

    def propose(self, requests: Sequence[ActiveRequest]) -> dict[RequestId, tuple[TokenId, ...]]:
        """Guesses of what the target will say next for these, which all have one token to compute."""
        self._spent_s, self._is_decode = 0.0, bool(requests)
        guesses = {request.id: self._guess(request, len(requests)) for request in requests}
        asking = [request for request in requests if guesses[request.id] is not None]
        askers = [self._asker(request, guesses[request.id]) for request in asking]
        if not askers:
            return {}
        choice = self._controller.lengths(askers, len(requests))
        wanted = {request.id: length for request, length in zip(asking, choice.lengths, strict=True) if length}
        for request in asking:
            answer = self._answers[request.id]
            answer.plain_tokens_per_s = choice.plain_tokens_per_s
            answer.guess = guesses[request.id]
            if not answer.n_drafted:
                answer.verdict = DraftVerdict.NOT_WORTH_IT
        return self._drafts([request for request in asking if request.id in wanted], wanted)

    def learn(self, plan: StepPlan, result: StepResult) -> None:
        """A step is over, maybe one that was not proposed for, because somebody's prompt was in it."""
        if result.status is not StepStatus.DONE or not self._is_decode:
            return
        n_rows = len(plan.chunks)
        seconds = result.seconds / result.n_rounds
        self._controller.observe_target(plan.n_tokens, seconds, is_plain=not plan.n_drafted)
        if not plan.n_drafted:
            return
        self._controller.observe_gain(n_rows, len(result.samples), seconds + self._spent_s)
        for chunk in plan.chunks:
            if chunk.n_drafted:
                n_drawn = sum(sample.request_id == chunk.request_id for sample in result.samples)
                self._count(chunk, n_drawn - 1)

    def settle(self, requests: Iterable[ActiveRequest]) -> None:
        """After a step: what the draft model guessed wrong leaves its cells, the rest is booked."""
        for request in requests:
            answer = self._answers.get(request.id)
            if answer is not None and answer.beyond:
                self._book(answer, request.tokens)

    def close(self, request: ActiveRequest) -> DraftReport:
        """The answer is over; its path in the draft's cache stays for whoever begins alike."""
        answer = self._answers.pop(request.id, None)
        if answer is None:
            return DraftReport()
        if answer.seq_id is not None and self._kv is not None:
            self._book(answer, request.tokens)
            self._kv.close(request.id, len(request.tokens))
        return DraftReport(
            answer.n_drafted, answer.n_accepted, answer.n_guessed, answer.plain_tokens_per_s, answer.verdict
        )

    def drop(self, conversation: str) -> None:
        self._controller.forget(conversation)
        if self._kv is not None:
            self._kv.drop(conversation)

    def pin(self, conversation: str, is_pinned: bool) -> None:
        if self._kv is not None:
            self._kv.pin(conversation, is_pinned)

    def idle_work(self) -> bool:
        return self._kv is not None and self._kv.idle_work()

    def check(self) -> None:
        """Raises BugError where an invariant is broken."""
        if self._kv is not None:
            self._kv.check()

    def _guess(self, request: ActiveRequest, n_rows: int) -> _Guess | None:
        """The better of what stands in the text and of what the model could say. None: there is neither."""
        answer = self._open(request)
        n_most = self._n_most(request)
        if n_most <= 0:
            return None
        tokens, n_alike = answer.index.guess(request.tokens, n_most)
        quoted = _Guess(Key(answer.conversation, f"text {_strength(n_alike)}"), tokens) if tokens else None
        if self._draft is None or not self._is_ready(request, answer, n_rows):
            return quoted
        spoken = _Guess(Key(answer.conversation, MODEL))
        if quoted is None or self._rate(request, spoken, n_rows) > self._rate(request, quoted, n_rows):
            return spoken
        return quoted

    def _rate(self, request: ActiveRequest, guess: _Guess, n_rows: int) -> float:
        return self._controller.lengths([self._asker(request, guess)], n_rows).tokens_per_s

    def _asker(self, request: ActiveRequest, guess: _Guess | None) -> Asker:
        assert guess is not None  # only those with a guess ask
        n_most = self._n_most(request) if guess.tokens is None else len(guess.tokens)
        return Asker(guess.key, n_most, guess.tokens is None)

    def _n_most(self, request: ActiveRequest) -> int:
        """The last token that fits is drawn, not drafted."""
        return min(MOST_DRAFTED, request.n_left - 1, self._n_ctx - len(request.tokens))

    def _is_ready(self, request: ActiveRequest, answer: _Drafted, n_rows: int) -> bool:
        """Whether the draft model has read all that was said, but for the last token or two."""
        n_behind = len(request.tokens) - answer.n_booked
        if answer.seq_id is not None and n_behind <= 2:
            return True
        limit = None if request.request.max_tokens is None else request.n_left
        key = Key(answer.conversation, MODEL)
        asker = Asker(key, self._n_most(request), True, n_behind, request.n_output, limit)
        if not self._controller.is_worth_reading(asker, n_rows) or not self._seat(request, answer):
            return False
        self._read(request, answer)
        return len(request.tokens) - answer.n_booked <= 2

    def _seat(self, request: ActiveRequest, answer: _Drafted) -> bool:
        if answer.seq_id is not None:
            return True
        assert self._kv is not None  # whoever has a draft model has its ledger
        lease = self._kv.open(request.id, request.request.conversation, request.tokens)
        if lease is None:
            return False
        self._kv.park(may_save=True)
        answer.seq_id, answer.n_booked = lease.seq_id, lease.n_ready
        return True

    def _read(self, request: ActiveRequest, answer: _Drafted) -> None:
        """Let the draft model read a part of what it has missed."""
        assert self._kv is not None
        assert self._draft is not None
        assert answer.seq_id is not None
        end = min(len(request.tokens) - 1, answer.n_booked + _READ_AT_ONCE)
        tokens = tuple(request.tokens[answer.n_booked : end])
        if not tokens or not self._kv.reserve(len(tokens)):
            return
        result = self._draft.read(StepPlan((Chunk(request.id, answer.seq_id, answer.n_booked, tokens, sample=False),)))
        if result.status is StepStatus.DONE:
            self._kv.extend(answer.seq_id, answer.n_booked, tokens)
            answer.n_booked = end
            self._controller.observe_draft(len(tokens), result.seconds)
        else:
            answer.n_booked = self._kv.spoil(answer.seq_id, answer.n_booked)

    def _drafts(
        self, requests: Sequence[ActiveRequest], lengths: Mapping[RequestId, int]
    ) -> dict[RequestId, tuple[TokenId, ...]]:
        drafts: dict[RequestId, tuple[TokenId, ...]] = {}
        asking_model: list[ActiveRequest] = []
        for request in requests:
            guess = self._answers[request.id].guess
            if guess is None or guess.tokens is None:
                asking_model.append(request)
            else:
                drafts[request.id] = guess.tokens[: lengths[request.id]]
        if asking_model:
            spoken = self._ask_model(asking_model, max(lengths[request.id] for request in asking_model))
            drafts |= {name: tuple(tokens[: lengths[name]]) for name, tokens in spoken.items() if tokens}
        return drafts

    def _ask_model(self, requests: Sequence[ActiveRequest], length: int) -> dict[RequestId, list[TokenId]]:
        assert self._kv is not None
        assert self._draft is not None
        chunks = [self._due(request) for request in requests]
        plan = StepPlan(tuple(chunks), n_rounds=length)
        if not self._kv.reserve(plan.n_tokens + (length - 1) * len(chunks)):
            return {}
        result = self._draft.guess(plan)
        self._spent_s += result.seconds
        drawn: dict[RequestId, list[TokenId]] = {chunk.request_id: [] for chunk in chunks}
        for sample in result.samples:
            drawn[sample.request_id].append(sample.token)
        for request, chunk in zip(requests, chunks, strict=True):
            answer = self._answers[request.id]
            if result.status is StepStatus.DONE:
                answer.beyond = (*chunk.tokens, *drawn[request.id][:-1])
            else:
                answer.n_booked = self._kv.spoil(chunk.seq_id, chunk.start)
        if result.n_rounds > 1:
            self._controller.observe_draft(len(chunks), result.seconds / result.n_rounds)
        return drawn

    def _due(self, request: ActiveRequest) -> Chunk:
        answer = self._answers[request.id]
        assert answer.seq_id is not None  # ready, so seated
        tokens = tuple(request.tokens[answer.n_booked :])
        return Chunk(request.id, answer.seq_id, answer.n_booked, tokens, sample=True)

    def _book(self, answer: _Drafted, tokens: Sequence[TokenId]) -> None:
        """Of the tokens beyond what is booked those are booked that were said; the others leave the cells."""
        assert self._kv is not None
        beyond, answer.beyond = answer.beyond, ()
        if answer.seq_id is None or not beyond:
            return
        said = tokens[answer.n_booked : answer.n_booked + len(beyond)]
        n_same = _n_same(beyond, said)
        if n_same < len(beyond):
            self._kv.take_back(answer.seq_id, answer.n_booked + n_same)
        if n_same:
            self._kv.extend(answer.seq_id, answer.n_booked, beyond[:n_same])
            answer.n_booked += n_same

    def _count(self, chunk: Chunk, n_accepted: int) -> None:
        answer = self._answers[chunk.request_id]
        answer.n_drafted += chunk.n_drafted
        answer.n_accepted += n_accepted
        answer.verdict = DraftVerdict.DRAFTED
        assert answer.guess is not None  # what it guessed last
        if answer.guess.tokens is None:
            answer.n_guessed += chunk.n_drafted
        self._controller.observe_run(answer.guess.key, chunk.n_drafted, n_accepted)

    def _open(self, request: ActiveRequest) -> _Drafted:
        answer = self._answers.get(request.id)
        if answer is None:
            conversation = request.request.conversation or request.id
            answer = self._answers[request.id] = _Drafted(conversation)
            self._controller.begin(conversation)
        return answer


def _n_same(one: Sequence[TokenId], other: Sequence[TokenId]) -> int:
    """How many tokens both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((number for number, (mine, yours) in pairs if mine != yours), min(len(one), len(other)))


def _strength(n_alike: int) -> int:
    return next((strength for strength in _STRONG if n_alike >= strength), 0)
