"""Answers as the families of models write them, each with the pieces that it is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.formats import Format, Offered, Piece, Reasoning, Text, families, open_stream
from engine.formats.calls import deepseek_marker
from engine.types import Tool, ToolCallPart

WEATHER = Tool(
    "get_weather",
    "Tells the weather of a city.",
    '{"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, '
    '"unit": {"type": "string", "enum": ["celsius", "kelvin"]}, "options": {"type": "object"}}, "required": ["city"]}',
)
NOW = Tool("now", "Tells the time.", '{"type": "object", "properties": {}}')
TOOLS = Offered((WEATHER, NOW))
THINK = ("<think>", "</think>")


@dataclass(frozen=True, slots=True)
class Answer:
    form: Format
    text: str
    pieces: tuple[Piece, ...]
    in_reasoning: bool = False
    n_complete: int = field(default=-1)


def call(index: int, name: str, arguments: str) -> ToolCallPart:
    return ToolCallPart(index, f"id{index}", name, arguments)


def _paris(index: int = 0) -> ToolCallPart:
    return call(index, "get_weather", '{"city": "Paris"}')


_BEGIN, _END = deepseek_marker("tool calls begin"), deepseek_marker("tool calls end")
_CALL, _SEP, _CALL_END = (deepseek_marker(words) for words in ("tool call begin", "tool sep", "tool call end"))
_JSON = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
_NOW_JSON = '{"name": "now", "arguments": {}}'
_HARMONY = Format(families.HARMONY, is_harmony=True)

ANSWERS: dict[str, Answer] = {
    "qwen3": Answer(
        Format(families.HERMES, THINK),
        "<think>\nHm, 1 < 2 <b>.\n</think>\n\nLet me look.\n<tool_call>\n"
        '{"name": "get_weather", "arguments": {"city": "K\\u00f6ln \\"x\\" {", "days": 3}}\n</tool_call>\n'
        f"<tool_call>\n{_NOW_JSON}\n</tool_call>",
        (
            Reasoning("Hm, 1 < 2 <b>."),
            Text("Let me look."),
            call(0, "get_weather", '{"city": "K\\u00f6ln \\"x\\" {", "days": 3}'),
            call(1, "now", "{}"),
        ),
    ),
    "hermes with its arguments first and one brace too many": Answer(
        Format(families.HERMES),
        '<tool_call>{"arguments": {"city": "Paris"}, "name": "get_weather"}}</tool_call>',
        (_paris(),),
    ),
    "hermes with its arguments in a string": Answer(
        Format(families.HERMES),
        '<tool_call>{"name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\"}"}</tool_call>',
        (_paris(),),
    ),
    "qwen3-coder": Answer(
        Format(families.QWEN_CODER),
        'Sure.\n\n<tool_call>\n<function=get_weather>\n<parameter=city>\nNew\n"York"\n</parameter>\n'
        '<parameter=days>\n3\n</parameter>\n<parameter=options>\n{"a": [1]}\n</parameter>\n</function>\n</tool_call>',
        (Text("Sure."), call(0, "get_weather", '{"city": "New\\n\\"York\\"", "days": 3, "options": {"a": [1]}}')),
    ),
    "qwen3-coder without the outer marker": Answer(
        Format(families.QWEN_CODER), "<function=now>\n</function>\n</tool_call>", (call(0, "now", "{}"),)
    ),
    "glm": Answer(
        Format(families.GLM, THINK),
        "<think></think>\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n"
        "<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
        (call(0, "get_weather", '{"city": "Paris", "days": 3}'),),
    ),
    "llama 3": Answer(Format(families.LLAMA3), '{"name": "get_weather", "parameters": {"city": "Paris"}}', (_paris(),)),
    "llama 3 with a tag": Answer(Format(families.LLAMA3), '<|python_tag|>get_weather.call(city="Paris")', (_paris(),)),
    "llama 3 answering in JSON": Answer(
        Format(families.LLAMA3),
        '{"name": "Alice", "parameters": {"age": 3}} is her record.',
        (Text('{"name": "Alice", "parameters": {"age": 3}} is her record.'),),
    ),
    "llama 4": Answer(
        Format(families.LLAMA4),
        "[get_weather(city=\"Paris, 'N'\", days=3, options={'a': True}), now()]",
        (call(0, "get_weather", '{"city": "Paris, \'N\'", "days": 3, "options": {"a": true}}'), call(1, "now", "{}")),
    ),
    "llama 4 with a list": Answer(Format(families.LLAMA4), "[1, 2] are two.", (Text("[1, 2] are two."),)),
    "lfm2": Answer(
        Format(families.LFM2),
        '<|tool_call_start|>[get_weather(city="Paris")]<|tool_call_end|>Checking.',
        (_paris(), Text("Checking.")),
    ),
    "mistral": Answer(
        Format(families.MISTRAL_LIST),
        '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Paris"}, "id": "abcdefghi"}, ' + _NOW_JSON + "]",
        (_paris(), call(1, "now", "{}")),
    ),
    "magistral": Answer(
        Format(families.MISTRAL_ARGS, ("[THINK]", "[/THINK]")),
        '[THINK]a b[/THINK]Ok.[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}[TOOL_CALLS]now[CALL_ID]abcdefghi[ARGS]{}',
        (Reasoning("a b"), Text("Ok."), _paris(), call(1, "now", "{}")),
    ),
    "deepseek r1": Answer(
        Format(families.DEEPSEEK_V3, THINK),
        f'hm</think>{_BEGIN}{_CALL}function{_SEP}get_weather\n```json\n{{"city": "Paris"}}\n```{_CALL_END}\n'
        f"{_CALL}function{_SEP}now\n```json\n{{}}\n```{_CALL_END}{_END}",
        (Reasoning("hm"), _paris(), call(1, "now", "{}")),
        in_reasoning=True,
    ),
    "deepseek v3.1": Answer(
        Format(families.DEEPSEEK_V31, THINK),
        f'Ok {_BEGIN}{_CALL}get_weather{_SEP}{{"city": "Paris"}}{_CALL_END}{_END}',
        (Text("Ok"), _paris()),
    ),
    "functiongemma": Answer(
        Format(families.FUNCTION_GEMMA),
        '<start_function_call>call:get_weather{city:<escape>Paris {x}, "y"<escape>,days:3,'
        "options:{a:[1,<escape>b<escape>,true],c:{}}}<end_function_call><start_function_response>not ours",
        (
            call(
                0, "get_weather", '{"city": "Paris {x}, \\"y\\"", "days": 3, "options": {"a": [1, "b", true], "c": {}}}'
            ),
        ),
    ),
    "gemma 4": Answer(
        Format(families.GEMMA4, ("<|channel>thought", "<channel|>")),
        '<|channel>thought\nHm.\n<channel|>Ok.<|tool_call>call:get_weather{city:<|"|>Paris<|"|>}<tool_call|>',
        (Reasoning("Hm."), Text("Ok."), _paris()),
    ),
    "gpt-oss": Answer(
        _HARMONY,
        "<|channel|>analysis<|message|>Need weather.<|end|><|start|>assistant<|channel|>commentary<|message|>I look."
        "<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
        '{"city": "Paris"}',
        (Reasoning("Need weather."), Text("I look."), _paris()),
    ),
    "gpt-oss answering": Answer(
        _HARMONY,
        "<|channel|>analysis<|message|>Is a < b?<|end|><|start|>assistant<|channel|>final<|message|>It is <|sunny|>.",
        (Reasoning("Is a < b?"), Text("It is <|sunny|>.")),
    ),
    "gpt-oss without any channel": Answer(_HARMONY, "Hello there.", (Text("Hello there."),)),
    "phi 4": Answer(Format(families.PHI4), f"<|tool_call|>[{_JSON}]<|/tool_call|>", (_paris(),)),
    "command": Answer(
        Format(families.COMMAND, ("<|START_THINKING|>", "<|END_THINKING|>")),
        "<|START_THINKING|>I will.<|END_THINKING|><|START_ACTION|>[\n"
        '    {"tool_call_id": "0", "tool_name": "get_weather", "parameters": {"city": "Paris"}}\n]<|END_ACTION|>',
        (Reasoning("I will."), _paris()),
    ),
    "an unknown family": Answer(Format(families.UNKNOWN), _JSON, (_paris(),)),
    "what only looks like a marker": Answer(
        Format(families.HERMES, THINK),
        'See <tool_call> and <tool_call>{"x": 1}</tool_call> <tool_cal. <think> not <tool',
        (Text('See <tool_call> and <tool_call>{"x": 1}</tool_call> <tool_cal. <think> not <tool'),),
    ),
    "a call that breaks off before its name": Answer(
        Format(families.HERMES), 'So: <tool_call>{"na', (Text('So: <tool_call>{"na'),)
    ),
    "a call that breaks off in its arguments": Answer(
        Format(families.HERMES),
        '<tool_call>{"name": "now", "arguments": {"a": "b',
        (call(0, "now", '{"a": "b'),),
        n_complete=0,
    ),
    "a call without an end marker": Answer(
        Format(families.HERMES), f"<tool_call>{_NOW_JSON}\n</tool", (call(0, "now", "{}"),)
    ),
    "reasoning that is never closed": Answer(Format(families.HERMES, THINK), "<think>\nHm\n", (Reasoning("Hm"),)),
    "reasoning that forgets to close before a call": Answer(
        Format(families.HERMES, THINK),
        f'<think>\nA <tool_call>{_NOW_JSON}</tool_call>.\n<tool_call>{{"name": "no"}}</tool_call>\n'
        f"<tool_call>{_NOW_JSON}</tool_call>",
        (
            Reasoning(f'A <tool_call>{_NOW_JSON}</tool_call>.\n<tool_call>{{"name": "no"}}</tool_call>'),
            call(0, "now", "{}"),
        ),
    ),
}


def parse(answer: Answer, parts: list[str], tools: Offered = TOOLS) -> tuple[list[Piece], int]:
    """The pieces, with neighbours of one kind joined, and how many calls are complete."""
    ids = iter(f"id{number}" for number in range(100))
    stream = open_stream(answer.form, tools, in_reasoning=answer.in_reasoning, make_id=lambda: next(ids))
    assert stream is not None
    pieces = [piece for part in parts for piece in stream.push(part)] + stream.finish()
    return _joined(pieces), stream.n_complete_calls


def _joined(pieces: list[Piece]) -> list[Piece]:
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        match last, piece:
            case ToolCallPart(index, call_id, name, arguments), ToolCallPart(index=same) if same == index:
                joined[-1] = ToolCallPart(index, call_id, name, arguments + piece.arguments)
            case (Text(text), Text(more)):
                joined[-1] = Text(text + more)
            case (Reasoning(text), Reasoning(more)):
                joined[-1] = Reasoning(text + more)
            case _:
                joined.append(piece)
    return joined
