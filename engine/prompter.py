"""Messages to prompt tokens, as the loaded model wants them, and within its context."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from engine.backend.base import Vocab
from engine.errors import ContextTooLong, InvalidRequest, TemplateError
from engine.formats import Format, format_of
from engine.prompt import ChatTemplate, PromptOptions, fallback_template, tokenize_prompt
from engine.types import ChatMessage, GenerationRequest, Overflow, Role, TokenId, ToolMode

log = logging.getLogger(__name__)

_RESERVE_TOKENS = 1024
"""Room for the answer that is made by leaving old turns out, but never more than a quarter of the context."""
_NO_OPTIONS = PromptOptions()


@dataclass(frozen=True, slots=True)
class Prompt:
    """``n_dropped`` messages after the system prompt were left out because the context is full.

    ``in_reasoning``: it ends where reasoning has begun.
    """

    tokens: list[TokenId]
    n_dropped: int = 0
    in_reasoning: bool = False


class Prompter:
    """Renders the model's own chat template, or one that suits its vocabulary where it has none that works.

    ``stop`` are the strings that end a turn in that form; models with a template of their own end it with a token.
    ``template_problem`` is a sentence about a template that is not used because it does not work.
    """

    def __init__(self, source: str | None, vocab: Vocab) -> None:
        self._vocab = vocab
        self.template_problem: str | None = None
        template = self._compiled(source) if source else None
        self._template = template or fallback_template(vocab.special_texts)
        self.stop = self._template.stop_strings
        self.can_call_tools = self._template.traits.knows_tools
        self.format: Format = format_of(source if source and template else "", knows_tools=self.can_call_tools)

    def prompt(self, request: GenerationRequest, n_ctx: int) -> Prompt:
        """The prompt of a request as it fits into ``n_ctx`` tokens.

        Raises ContextTooLong, TemplateError, InvalidRequest.
        """
        if request.prompt is not None:
            tokens = self._raw_tokens(request.prompt)
            if len(tokens) >= n_ctx:
                raise ContextTooLong(len(tokens), n_ctx)
            return Prompt(tokens)
        return self.fit(request.messages, n_ctx, request.overflow, _options(request))

    def count(self, request: GenerationRequest) -> int:
        """How many tokens the prompt of a request has, whether it fits or not."""
        if request.prompt is not None:
            return len(self._raw_tokens(request.prompt))
        return len(self.tokens(request.messages, _options(request)))

    def tokens(self, messages: Sequence[ChatMessage], options: PromptOptions = _NO_OPTIONS) -> list[TokenId]:
        """The prompt up to where the answer begins. Raises TemplateError, InvalidRequest."""
        return self._rendered(messages, options).tokens

    def fit(
        self, messages: Sequence[ChatMessage], n_ctx: int, overflow: Overflow, options: PromptOptions = _NO_OPTIONS
    ) -> Prompt:
        """The prompt as it fits into ``n_ctx`` tokens, with whole turns left out if the policy is to roll.

        Raises ContextTooLong, TemplateError, InvalidRequest.
        """
        prompt = self._rendered(messages, options)
        n_tokens = len(prompt.tokens)
        room = n_ctx - min(_RESERVE_TOKENS, n_ctx // 4)
        if overflow is Overflow.STOP or n_tokens <= room:
            if n_tokens >= n_ctx:
                raise ContextTooLong(n_tokens, n_ctx)
            return prompt
        return self._rolled(messages, options, n_tokens, n_ctx)

    def _compiled(self, source: str) -> ChatTemplate | None:
        """The model's own template, if it compiles and can write the simplest of prompts."""
        vocab = self._vocab
        special = vocab.special_texts
        try:
            template = ChatTemplate(source, bos=vocab.bos_text, eos=vocab.eos_text, special_texts=special)
            problem = template.problem()
        except TemplateError as error:
            problem = error.text
        if problem is None:
            return template
        log.warning("the chat template is not used: %s", problem)
        self.template_problem = f"{problem} A general template is used in its place, so answers may be worse."
        return None

    def _rendered(self, messages: Sequence[ChatMessage], options: PromptOptions) -> Prompt:
        parts = self._template.render(messages, options)
        tokens = self._with_prefix([TokenId(token) for token in tokenize_prompt(parts, self._vocab.tokenize)])
        if self.format.reasoning is None:
            return Prompt(tokens)
        opening, closing = self.format.reasoning
        if not options.continues:
            end = "".join(part.text for part in parts[-3:]).rstrip()
            return Prompt(tokens, in_reasoning=end.endswith(opening))
        last = messages[-1]
        is_open = last.content.rfind(opening) > last.content.rfind(closing)
        return Prompt(tokens, in_reasoning=is_open or (not last.content and bool(last.reasoning)))

    def _raw_tokens(self, prompt: str | tuple[int, ...]) -> list[TokenId]:
        """Text as it stands, control tokens in it included, because whoever writes no messages writes those."""
        if isinstance(prompt, str):
            tokens = self._with_prefix([TokenId(token) for token in self._vocab.tokenize(prompt, True)])
        else:
            tokens = [TokenId(token) for token in prompt]
            if any(not 0 <= token < self._vocab.n_tokens for token in tokens):
                raise InvalidRequest(f"The prompt holds a token outside of the vocabulary of {self._vocab.n_tokens:,}.")
        if not tokens:
            raise InvalidRequest("The prompt is empty.")
        return tokens

    def _with_prefix(self, tokens: list[TokenId]) -> list[TokenId]:
        prefix = self._vocab.prefix
        starts_right = tuple(tokens[: len(prefix)]) == prefix  # many templates write the BOS token themselves
        return tokens if starts_right else [*prefix, *tokens]

    def _rolled(self, messages: Sequence[ChatMessage], options: PromptOptions, n_tokens: int, n_ctx: int) -> Prompt:
        """Leave the oldest turns out, a quarter of the context at a time.

        In steps, because every change of what is left out means that all the rest is read anew; with steps that
        happens once in a while and not with every question. A turn goes from a user's message to the next one, so a
        call never loses its result.
        """
        room = n_ctx - min(_RESERVE_TOKENS, n_ctx // 4)
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
            prompt = self._rendered([*messages[:n_system], *messages[start:]], options)
            if len(prompt.tokens) <= room or (is_last and len(prompt.tokens) < n_ctx):
                return Prompt(prompt.tokens, start - n_system, prompt.in_reasoning)
        raise ContextTooLong(n_tokens, n_ctx)

    def _ends(self, messages: Sequence[ChatMessage], n_tokens: int) -> list[float]:
        """Where each message ends, in tokens: its own, and its share of what the template adds."""
        sizes = [len(self._vocab.tokenize(_body(message), False)) for message in messages]
        overhead = max(0.0, (n_tokens - sum(sizes)) / len(messages))
        return list(accumulate(size + overhead for size in sizes))


def _options(request: GenerationRequest) -> PromptOptions:
    tools = () if request.tool_choice.mode is ToolMode.NONE else request.tools
    return PromptOptions(tools, request.thinking, request.reasoning_effort, request.continues)


def _body(message: ChatMessage) -> str:
    return message.content + "".join(call.name + call.arguments for call in message.tool_calls)
