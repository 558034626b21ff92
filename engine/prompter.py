"""Messages to prompt tokens, as the loaded model wants them."""

from __future__ import annotations

from collections.abc import Sequence

from engine.backend.base import Vocab
from engine.prompt import ChatTemplate, fallback_template, tokenize_prompt
from engine.types import ChatMessage, TokenId


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
