"""What a request has said: tokens in, events out."""

from __future__ import annotations

from engine.backend.base import Vocab
from engine.events import TokensEmitted
from engine.step import Sample
from engine.text import TextStream
from engine.types import RequestId, TokenLogprob


class Output:
    """Text goes out when it is final; the log-probabilities of its tokens go with it."""

    def __init__(self, stop: tuple[str, ...], vocab: Vocab) -> None:
        self._stream = TextStream(stop)
        self._vocab = vocab
        self._logprobs: list[TokenLogprob] = []

    @property
    def is_stopped(self) -> bool:
        return self._stream.stopped is not None

    def push(self, request_id: RequestId, sample: Sample, n_output: int) -> list[TokensEmitted]:
        if sample.logprob is not None:
            best = tuple((self._vocab.piece(token), logprob) for token, logprob in sample.best)
            self._logprobs.append(TokenLogprob(self._vocab.piece(sample.token), sample.logprob, best))
        return self._emit(request_id, self._stream.push(self._vocab.piece(sample.token)), n_output)

    def finish(self, request_id: RequestId, n_output: int) -> list[TokensEmitted]:
        return self._emit(request_id, self._stream.finish(), n_output)

    def _emit(self, request_id: RequestId, text: str, n_output: int) -> list[TokensEmitted]:
        if not text:
            return []
        logprobs, self._logprobs = tuple(self._logprobs), []
        return [TokensEmitted(request_id, text, n_output, logprobs)]
