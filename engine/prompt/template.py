"""Chat templates: the model's own program that turns messages into the text of a prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

from engine.errors import KnownError, TemplateError
from engine.prompt.guard import Budget, BudgetExceeded, Limit, run_bounded
from engine.prompt.inert import PromptPart, SpecialTexts, StandIns
from engine.types import ChatMessage, Role

if TYPE_CHECKING:
    from engine.prompt.sandbox import TemplateRefusal

T = TypeVar("T")

HINT = "The fault is in the model's file. Try another file of this model, or another model."
_PARAGRAPH = "\n\n"


class ChatTemplate:
    """A compiled template. One thread; rendering takes under a millisecond and never more than ``budget``.

    ``special_texts`` are the texts of exactly those tokens that tokenizing with parse_special=True finds and with
    False does not: llama.cpp's attributes CONTROL and UNKNOWN (USER_DEFINED ones are found either way).
    ``stop_strings`` end an answer that was made with this template, beside the model's own end-of-turn tokens.
    Making one raises TemplateError if the source has a mistake.
    """

    def __init__(
        self,
        source: str,
        *,
        bos: str,
        eos: str,
        special_texts: frozenset[str],
        budget: Budget | None = None,
        stop_strings: tuple[str, ...] = (),
    ) -> None:
        from engine.prompt.sandbox import compile_template

        self.stop_strings = stop_strings
        self._source = source
        self._bos = bos
        self._eos = eos
        self._special_texts = SpecialTexts(special_texts)
        self._budget = budget or Budget()
        self._program = self._run(lambda: compile_template(source, self._budget.max_chars))

    def render(self, messages: Sequence[ChatMessage], *, add_generation_prompt: bool = True) -> tuple[PromptPart, ...]:
        """The prompt in parts, whose texts joined are what the template wrote. Raises TemplateError.

        Some templates refuse a system message (Gemma), or messages that do not take turns (Mistral). If one refuses,
        it is asked once more with the system text put before the first user message's, and with messages of the same
        role in a row made into one.
        """
        from engine.prompt.sandbox import TemplateRefusal

        attempts = [list(messages)]
        if (simpler := _simplify(messages)) != attempts[0]:
            attempts.append(simpler)
        for attempt in attempts:
            try:
                return self._render(attempt, add_generation_prompt)
            except TemplateRefusal as error:
                refusal = error
        raise _refused(refusal) from refusal

    def _render(self, messages: Sequence[ChatMessage], add_generation_prompt: bool) -> tuple[PromptPart, ...]:
        stand_ins = StandIns(self._special_texts, self._source)
        variables = {
            "messages": [{"role": m.role.value, "content": stand_ins.protect(m.content)} for m in messages],
            "add_generation_prompt": add_generation_prompt,
            "bos_token": self._bos,
            "eos_token": self._eos,
        }
        return stand_ins.split(self._run(lambda: "".join(self._program(variables))))

    def _run(self, work: Callable[[], T]) -> T:
        from engine.prompt.sandbox import TemplateRefusal

        try:
            return run_bounded(work, self._budget)
        except (KnownError, TemplateRefusal):
            raise
        except BudgetExceeded as overrun:
            raise _overran(overrun.limit, self._budget) from None
        except Exception as error:  # a stranger's program may raise whatever it likes
            raise _failed(error) from error


def tokenize_prompt(parts: Sequence[PromptPart], tokenize: Callable[[str, bool], list[int]]) -> list[int]:
    """The prompt's tokens. ``tokenize(text, parse_special)`` must add no token of its own, such as BOS.

    A SentencePiece vocabulary that begins each text with a space does so for each part. There is more than one part
    only where somebody typed a control token.
    """
    return [token for part in parts for token in tokenize(part.text, part.special)]


def _simplify(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """No system message, and no two messages of one role in a row."""
    system_text = _PARAGRAPH.join(message.content for message in messages if message.role is Role.SYSTEM)
    rest = [message for message in messages if message.role is not Role.SYSTEM]
    opening = [ChatMessage(Role.USER, system_text)] if system_text else []
    return [
        ChatMessage(role, _PARAGRAPH.join(message.content for message in run))
        for role, run in groupby([*opening, *rest], key=lambda message: message.role)
    ]


def _refused(refusal: TemplateRefusal) -> TemplateError:
    return TemplateError(
        f"The model's chat template refuses this conversation: {_one_line(refusal)}",
        "Start a new conversation, or change what the system prompt says.",
    )


def _overran(limit: Limit, budget: Budget) -> TemplateError:
    if limit is Limit.MEMORY:
        what = f"took more than {budget.memory_bytes // 2**20} MB of memory"
    else:
        what = f"ran for longer than {budget.time_s:g} s"
    return TemplateError(f"The model's chat template {what} and was stopped.", HINT)


def _failed(error: Exception) -> TemplateError:
    from jinja2 import TemplateError as JinjaError
    from jinja2 import TemplateSyntaxError

    if isinstance(error, TemplateSyntaxError):
        return TemplateError(
            f"The model's chat template has a mistake in line {error.lineno}: {_one_line(error.message or '')}", HINT
        )
    what = _one_line(error) if isinstance(error, JinjaError) else _one_line(f"{type(error).__name__}: {error}")
    return TemplateError(f"The model's chat template failed: {what}", HINT)


def _one_line(message: object) -> str:
    """A message of the template's own as the end of a sentence."""
    words = " ".join(str(message).split())
    return (words if len(words) <= 200 else words[:200] + "...").rstrip(".") + "."
