"""Which family writes in which form, and how a chat template gives away its family.

Sources are the templates themselves and what the makers document: Hermes and Qwen (``<tool_call>``), Llama
(llama-models' prompt formats), Mistral (mistral-common), DeepSeek (model cards), Gemma (ai.google.dev), gpt-oss
(OpenAI's harmony).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.formats import calls
from engine.formats.calls import Body, deepseek_marker


@dataclass(frozen=True, slots=True)
class CallForm:
    """How calls are written.

    ``openers`` are markers, each with the coroutine that reads on from behind it. ``bare`` are letters that may begin
    a call where an answer begins, without any marker. ``silent`` markers stand around calls and mean nothing by
    themselves; behind one of ``ends`` the answer is over.
    """

    name: str
    openers: Mapping[str, Body] = field(default_factory=dict)
    bare: Mapping[str, Body] = field(default_factory=dict)
    silent: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Format:
    """``reasoning`` is what stands before and behind it; ``is_harmony`` means channels, which carry everything."""

    calls: CallForm
    reasoning: tuple[str, str] | None = None
    is_harmony: bool = False

    @property
    def can_reason(self) -> bool:
        return self.is_harmony or self.reasoning is not None

    @property
    def markers(self) -> tuple[str, ...]:
        """Texts that a parser has to see, although some of them are control tokens and no text for people."""
        form = self.calls
        channels = HARMONY_MARKERS if self.is_harmony else ()
        return (*channels, *(self.reasoning or ()), *form.openers, *form.silent, *form.ends, *_INNER.get(form.name, ()))


HARMONY_MARKERS = ("<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|constrain|>", "<|call|>", "<|return|>")
HARMONY = CallForm("harmony")

HERMES = CallForm("hermes", {"<tool_call>": calls.json_calls("</tool_call>")})
PLAIN = CallForm("plain", HERMES.openers)
"""For models that know no tools: the form that ``engine.prompt`` describes to them in plain words."""

QWEN_CODER = CallForm(
    "qwen-coder",
    {
        "<tool_call>": calls.xml_calls("</tool_call>"),
        "<function=": calls.xml_calls("</tool_call>", first="<function="),
    },
)
GLM = CallForm("glm", {"<tool_call>": calls.glm_calls})
_BARE_JSON = calls.json_calls(first="{")
_BARE_PYTHON = calls.python_calls(first="[")
LLAMA3 = CallForm("llama3", {"<|python_tag|>": calls.llama_tag_calls}, {"{": _BARE_JSON})
LLAMA4 = CallForm(
    "llama4",
    {"<|python_start|>": calls.llama_tag_calls},
    {"{": _BARE_JSON, "[": _BARE_PYTHON},
    silent=("<|python_end|>",),
)
LFM2 = CallForm("lfm2", {"<|tool_call_start|>": calls.python_calls("<|tool_call_end|>")})
MISTRAL_LIST = CallForm("mistral-list", {"[TOOL_CALLS]": calls.mistral_calls})
MISTRAL_ARGS = CallForm("mistral-args", {"[TOOL_CALLS]": calls.mistral_calls})
PHI4 = CallForm("phi4", {"<|tool_call|>": calls.json_calls("<|/tool_call|>")})
COMMAND = CallForm("command", {"<|START_ACTION|>": calls.json_calls("<|END_ACTION|>")})
_DEEPSEEK_AROUND = (deepseek_marker("tool calls begin"), deepseek_marker("tool calls end"))
_DEEPSEEK_INSIDE = (deepseek_marker("tool sep"), deepseek_marker("tool call end"))
_DEEPSEEK = {deepseek_marker("tool call begin"): calls.deepseek_calls}
DEEPSEEK_V3 = CallForm("deepseek-v3", _DEEPSEEK, silent=_DEEPSEEK_AROUND)
DEEPSEEK_V31 = CallForm("deepseek-v3.1", _DEEPSEEK, silent=_DEEPSEEK_AROUND)
FUNCTION_GEMMA = CallForm(
    "function-gemma",
    {"<start_function_call>": calls.gemma_calls("<escape>", "<end_function_call>")},
    ends=("<start_function_response>",),
)
GEMMA4 = CallForm("gemma4", {"<|tool_call>": calls.gemma_calls('<|"|>', "<tool_call|>")}, ends=("<|tool_response>",))
UNKNOWN = CallForm("unknown", HERMES.openers, {"{": _BARE_JSON, "[": calls.json_calls(first="[")})
"""For templates that write tools in a way of their own, and do not show how a call looks."""

_INNER = {
    "hermes": ("</tool_call>",),
    "plain": ("</tool_call>",),
    "qwen-coder": ("</tool_call>", "</function>", "<parameter=", "</parameter>"),
    "glm": ("</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
    "lfm2": ("<|tool_call_end|>",),
    "mistral-list": ("[CALL_ID]", "[ARGS]"),
    "mistral-args": ("[CALL_ID]", "[ARGS]"),
    "phi4": ("<|/tool_call|>",),
    "command": ("<|END_ACTION|>",),
    "deepseek-v3": _DEEPSEEK_INSIDE,
    "deepseek-v3.1": _DEEPSEEK_INSIDE,
    "function-gemma": ("<escape>", "<end_function_call>"),
    "gemma4": ('<|"|>', "<tool_call|>"),
}
"""Markers that stand inside of calls."""

_has = re.compile
_CALL_SIGNS: tuple[tuple[Callable[[str], object], CallForm], ...] = (
    (_has(r"\[TOOL_CALLS\].*\[ARGS\]|\[ARGS\].*\[TOOL_CALLS\]", re.DOTALL).search, MISTRAL_ARGS),
    (_has(r"\[TOOL_CALLS\]").search, MISTRAL_LIST),
    (_has("```json.*" + _DEEPSEEK_INSIDE[1], re.DOTALL).search, DEEPSEEK_V3),
    (_has(next(iter(_DEEPSEEK))).search, DEEPSEEK_V31),
    (_has("<start_function_call>").search, FUNCTION_GEMMA),
    (_has(r"<\|tool_call>").search, GEMMA4),
    (_has(r"<\|tool_call_start\|>").search, LFM2),
    (_has("<function=").search, QWEN_CODER),
    (_has("<arg_key>").search, GLM),
    (_has("<tool_call>").search, HERMES),
    (_has(r"<\|tool_call\|>").search, PHI4),
    (_has(r"<\|START_ACTION\|>").search, COMMAND),
    (_has(r"<\|python_start\|>|<\|header_start\|>").search, LLAMA4),
    (_has(r"<\|python_tag\|>|<\|start_header_id\|>").search, LLAMA3),
)
_REASONING_SIGNS: tuple[tuple[str, tuple[str, str]], ...] = (
    ("[THINK]", ("[THINK]", "[/THINK]")),
    ("<|channel>", ("<|channel>thought", "<channel|>")),
    ("<|START_THINKING|>", ("<|START_THINKING|>", "<|END_THINKING|>")),
    ("<seed:think>", ("<seed:think>", "</seed:think>")),
    ("<think>", ("<think>", "</think>")),
    ("</think>", ("<think>", "</think>")),
)


def format_of(template: str, *, knows_tools: bool) -> Format:
    """What a model writes whose chat template this is. ``knows_tools``: the template shows tools that it is given."""
    if "<|channel|>" in template and "<|message|>" in template:
        return Format(HARMONY, is_harmony=True)
    reasoning = next((markers for sign, markers in _REASONING_SIGNS if sign in template), None)
    if not knows_tools:
        return Format(PLAIN, reasoning)
    return Format(next((form for finds, form in _CALL_SIGNS if finds(template)), UNKNOWN), reasoning)
