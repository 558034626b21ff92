"""Messages to prompt tokens, as the loaded model wants them, and within its context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from engine.backend.base import Vocab
from engine.errors import ContextTooLong
from engine.prompt import ChatTemplate, fallback_template, tokenize_prompt
from engine.types import ChatMessage, Overflow, Role, TokenId

_RESERVE_TOKENS = 1024
"""Room for the answer that is made by leaving old turns out, but never more than a quarter of the context."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """``n_dropped`` messages after the system prompt were left out because the context is full."""

    tokens: list[TokenId]
    n_dropped: int = 0


class Prompter:
    """Renders the model's own chat template, or one that suits its vocabulary where it has none.

    ``stop`` are the strings that end a turn in that form; models with a template of their own end it with a token.
    """

    def __init__(self, source: str | None, vocab: Vocab) -> None:
        self._vocab = vocab
        special = vocab.special_texts
        if source:
            self._template = ChatTemplate(source, bos=vocab.bos_text, eos=vocab.eos_text, special_texts=special)
        else:
            self._template = fallback_template(special)
        self.stop = self._template.stop_strings

    def tokens(self, messages: Sequence[ChatMessage]) -> list[TokenId]:
        """The prompt up to where the answer begins. Raises TemplateError, InvalidRequest."""
        parts = self._template.render(messages)
        tokens = [TokenId(token) for token in tokenize_prompt(parts, self._vocab.tokenize)]
        prefix = self._vocab.prefix
        starts_right = tuple(tokens[: len(prefix)]) == prefix  # many templates write the BOS token themselves
        return tokens if starts_right else [*prefix, *tokens]

    def fit(self, messages: Sequence[ChatMessage], n_ctx: int, overflow: Overflow) -> Prompt:
        """The prompt as it fits into ``n_ctx`` tokens, with whole turns left out if the policy is to roll.

        Raises ContextTooLong, TemplateError, InvalidRequest.
        """
        tokens = self.tokens(messages)
        room = n_ctx - min(_RESERVE_TOKENS, n_ctx // 4)
        if overflow is Overflow.STOP or len(tokens) <= room:
            if len(tokens) >= n_ctx:
                raise ContextTooLong(len(tokens), n_ctx)
            return Prompt(tokens)
        return self._rolled(messages, len(tokens), room, n_ctx)

    def _rolled(self, messages: Sequence[ChatMessage], n_tokens: int, room: int, n_ctx: int) -> Prompt:
        """Leave the oldest turns out, a quarter of the context at a time.

        In steps, because every change of what is left out means that all the rest is read again; with steps that
        happens once in a while and not with every question.
        """
        n_system = next((i for i, message in enumerate(messages) if message.role is not Role.SYSTEM), len(messages))
        starts = [i for i, m in enumerate(messages) if m.role is Role.USER and i > n_system]
        step = max(1, n_ctx // 4)
        wanted = -(-(n_tokens - room) // step) * step
        ends = self._ends(messages, n_tokens)
        before = ends[n_system - 1] if n_system else 0.0
        for start in starts:
            is_last = start == starts[-1]
            if ends[start - 1] - before < wanted and not is_last:
                continue
            tokens = self.tokens([*messages[:n_system], *messages[start:]])
            if len(tokens) <= room or (is_last and len(tokens) < n_ctx):
                return Prompt(tokens, start - n_system)
        raise ContextTooLong(n_tokens, n_ctx)

    def _ends(self, messages: Sequence[ChatMessage], n_tokens: int) -> list[float]:
        """Where each message ends, in tokens: its own, and its share of what the template adds."""
        sizes = [len(self._vocab.tokenize(message.content, False)) for message in messages]
        overhead = max(0.0, (n_tokens - sum(sizes)) / len(messages))
        return list(accumulate(size + overhead for size in sizes))
