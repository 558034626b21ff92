"""Chat templates: the model's own program that turns messages into the text of a prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from engine.errors import InvalidRequest, KnownError, TemplateError
from engine.prompt.guard import Budget, BudgetExceeded, Limit, run_bounded
from engine.prompt.inert import PromptPart, SpecialTexts, StandIns
from engine.prompt.plain_tools import describe_tools, write_calls, write_results
from engine.prompt.traits import probe
from engine.prompt.variables import (
    REASONING_KEYS,
    PromptOptions,
    Traits,
    message_variables,
    option_variables,
    tool_variables,
)
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

    @cached_property
    def traits(self) -> Traits:
        """What it makes of tools: found by trying, once."""
        if "tool" not in self._source:
            return Traits()
        return probe(
            lambda variables: self._run(lambda: "".join(self._program(self._common() | variables))), self._source
        )

    def problem(self) -> str | None:
        """What keeps it from writing even the simplest prompt. One that says no to it has its reasons."""
        from engine.prompt.sandbox import TemplateRefusal

        try:
            self._render([ChatMessage(Role.USER, "Hi")], PromptOptions(), add_generation_prompt=True)
        except TemplateRefusal:
            return None
        except KnownError as error:
            return error.text
        return None

    def render(
        self,
        messages: Sequence[ChatMessage],
        options: PromptOptions = PromptOptions(),  # noqa: B008 - frozen
        *,
        add_generation_prompt: bool = True,
    ) -> tuple[PromptPart, ...]:
        """The prompt in parts, whose texts joined are what the template wrote. Raises TemplateError, InvalidRequest.

        Some templates refuse a system message (Gemma), messages that do not take turns (Mistral), or more than one
        call in a message (Llama 3). If one refuses, it is asked again with messages that are simpler in these ways.
        """
        from engine.prompt.sandbox import TemplateRefusal

        refusal = None
        for attempt in _attempts(self._in_words(messages, options)):
            try:
                return self._render(attempt, options, add_generation_prompt)
            except TemplateRefusal as error:
                refusal = error
        assert refusal is not None  # there is always a first attempt
        raise _refused(refusal) from refusal

    def _in_words(self, messages: Sequence[ChatMessage], options: PromptOptions) -> Sequence[ChatMessage]:
        """With what the template does not know about tools written as text."""
        has_calls = any(message.tool_calls or message.role is Role.TOOL for message in messages)
        if not has_calls and not options.tools:
            return messages
        if has_calls and not self.traits.writes_calls:
            messages = write_calls(messages)
        if has_calls and not self.traits.writes_results:
            messages = write_results(messages)
        if options.tools and not self.traits.knows_tools:
            messages = describe_tools(messages, options.tools)
        return messages

    def _render(
        self, messages: Sequence[ChatMessage], options: PromptOptions, add_generation_prompt: bool
    ) -> tuple[PromptPart, ...]:
        stand_ins = StandIns(self._special_texts, self._source)
        has_calls = any(message.tool_calls or message.role is Role.TOOL for message in messages)
        traits = self.traits if has_calls else Traits()
        variables = self._common() | option_variables(options)
        variables["messages"] = message_variables(messages, traits, stand_ins.protect)
        variables["add_generation_prompt"] = add_generation_prompt and not options.continues
        if options.tools and self.traits.knows_tools:
            variables["tools"] = tool_variables(options.tools, stand_ins.protect)
        mark = _mark_end(variables["messages"][-1], stand_ins) if options.continues else None
        output = self._run(lambda: "".join(self._program(variables)))
        if mark is not None:
            if mark not in output:
                raise InvalidRequest("The model's chat template does not let an answer be continued.")
            output = output[: output.rindex(mark)]
        return stand_ins.split(output)

    def _common(self) -> dict[str, Any]:
        return {"bos_token": self._bos, "eos_token": self._eos}

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


def _mark_end(message: dict[str, Any], stand_ins: StandIns) -> str:
    """Mark where the last message ends, so that what the template puts behind it can be left out.

    The mark also keeps a template from cutting white space off. Where only reasoning was said, that goes on.
    """
    mark = stand_ins.make_mark()
    keys = ["content"] if message["content"] else [key for key in REASONING_KEYS if key in message] or ["content"]
    for key in keys:
        message[key] += mark
    return mark


def _attempts(messages: Sequence[ChatMessage]) -> Iterator[list[ChatMessage]]:
    tried: list[list[ChatMessage]] = []
    single = _one_call_each(messages)
    for attempt in (list(messages), single, _simplify(messages), _simplify(single)):
        if attempt not in tried:
            tried.append(attempt)
            yield attempt


def _one_call_each(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Each call in a message of its own, its result right behind it."""
    results = {message.tool_call_id: message for message in messages if message.role is Role.TOOL}
    several = [message for message in messages if len(message.tool_calls) > 1]
    moved = {call.id for message in several for call in message.tool_calls}
    single: list[ChatMessage] = []
    for message in messages:
        if message.role is Role.TOOL and message.tool_call_id in moved:
            continue
        if len(message.tool_calls) < 2:
            single.append(message)
            continue
        for number, call in enumerate(message.tool_calls):
            content, reasoning = ("", "") if number else (message.content, message.reasoning)
            single.append(replace(message, content=content, reasoning=reasoning, tool_calls=(call,)))
            single += [results[call.id]] if call.id in results else []
    return single


def _simplify(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """No system message, and no two messages of one role in a row."""
    system_text = _PARAGRAPH.join(message.content for message in messages if message.role is Role.SYSTEM)
    rest = [message for message in messages if message.role is not Role.SYSTEM]
    simple: list[ChatMessage] = [ChatMessage(Role.USER, system_text)] if system_text else []
    for message in rest:
        if simple and _may_join(simple[-1], message):
            before = simple.pop()
            content = _PARAGRAPH.join((before.content, message.content))
            reasoning = _PARAGRAPH.join(filter(None, (before.reasoning, message.reasoning)))
            message = replace(message, content=content, reasoning=reasoning)
        simple.append(message)
    return simple


def _may_join(before: ChatMessage, message: ChatMessage) -> bool:
    is_plain = not before.tool_calls and message.role is not Role.TOOL
    return is_plain and before.role is message.role


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
