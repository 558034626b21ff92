"""What a request has said: tokens in, events out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.backend.base import Vocab
from engine.events import TokensEmitted
from engine.formats import AnswerStream, Format, Piece, Reasoning, Text
from engine.step import Sample
from engine.text import TextStream
from engine.types import FinishReason, RequestId, TokenId, TokenLogprob, ToolCallPart


class Output:
    """Text goes out when it is final; the log-probabilities of its tokens go with it."""

    def __init__(self, stop: tuple[str, ...], vocab: Vocab) -> None:
        self._stream = TextStream(stop)
        self._vocab = vocab
        self._logprobs: list[TokenLogprob] = []

    @property
    def n_complete_calls(self) -> int:
        return 0

    @property
    def ended_by(self) -> FinishReason | None:
        """Why nothing more may follow, or None."""
        return None if self._stream.stopped is None else FinishReason.STOP_STRING

    @property
    def stop_string(self) -> str | None:
        """The one that ended the text."""
        return self._stream.stopped

    def push(self, request_id: RequestId, sample: Sample, n_output: int) -> list[TokensEmitted]:
        if sample.logprob is not None:
            best = tuple((self._vocab.piece(token), logprob) for token, logprob in sample.best)
            self._logprobs.append(TokenLogprob(self._vocab.piece(sample.token), sample.logprob, best))
        return self._take(request_id, self._vocab.piece(sample.token), sample.token, n_output)

    def finish(self, request_id: RequestId, n_output: int) -> list[TokensEmitted]:
        return self._emit(request_id, self._stream.finish(), n_output)

    def _take(self, request_id: RequestId, piece: bytes, token: TokenId, n_output: int) -> list[TokensEmitted]:
        return self._emit(request_id, self._stream.push(piece), n_output)

    def _emit(
        self,
        request_id: RequestId,
        text: str,
        n_output: int,
        reasoning: str = "",
        calls: tuple[ToolCallPart, ...] = (),
    ) -> list[TokensEmitted]:
        if not (text or reasoning or calls):
            return []
        logprobs, self._logprobs = tuple(self._logprobs), []
        return [TokensEmitted(request_id, text, n_output, logprobs, reasoning, calls)]


class FormedOutput(Output):
    """An answer in which a model's form has something to find. Stop strings end what is text, and nothing else.

    ``markers`` are control tokens that the form needs to see. With ``at_most_one`` the answer ends with its first call.
    """

    def __init__(
        self,
        stop: tuple[str, ...],
        vocab: Vocab,
        answer: AnswerStream,
        markers: Mapping[TokenId, bytes],
        *,
        at_most_one: bool = False,
    ) -> None:
        super().__init__(stop, vocab)
        self._decoder = TextStream()
        self._answer = answer
        self._markers = markers
        self._at_most_one = at_most_one

    @property
    def n_complete_calls(self) -> int:
        return self._answer.n_complete_calls

    @property
    def ended_by(self) -> FinishReason | None:
        if self._stream.stopped is not None:
            return FinishReason.STOP_STRING
        is_over = self._answer.is_over or (self._at_most_one and self.n_complete_calls > 0)
        return FinishReason.END_OF_TURN if is_over else None

    def finish(self, request_id: RequestId, n_output: int) -> list[TokensEmitted]:
        pieces = [*self._answer.push(self._decoder.finish()), *self._answer.finish()]
        return [*self._report(request_id, pieces, n_output), *super().finish(request_id, n_output)]

    def _take(self, request_id: RequestId, piece: bytes, token: TokenId, n_output: int) -> list[TokensEmitted]:
        text = self._decoder.push(piece or self._markers.get(token, b""))
        return self._report(request_id, self._answer.push(text), n_output) if text else []

    def _report(self, request_id: RequestId, pieces: Sequence[Piece], n_output: int) -> list[TokensEmitted]:
        events: list[TokensEmitted] = []
        for piece in pieces:
            match piece:
                case Text(text):
                    events += self._emit(request_id, self._stream.push_text(text), n_output)
                case Reasoning(text):
                    events += self._emit(request_id, "", n_output, text)
                case part:
                    events += self._emit(request_id, "", n_output, calls=(part,))
        return events


def marker_tokens(vocab: Vocab, form: Format) -> dict[TokenId, bytes]:
    """The control tokens that are a marker of the form or a part of one, with the text that a parser is to see."""
    texts = [text for text in vocab.special_texts if any(text in marker for marker in form.markers)]
    tokens = {text: vocab.tokenize(text, True) for text in texts}
    return {TokenId(found[0]): text.encode() for text, found in tokens.items() if len(found) == 1}
