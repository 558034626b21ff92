"""The grammar that makes a model call a tool, in its own form, with arguments that fit the tool's schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from engine.formats.calls import deepseek_marker
from engine.formats.families import Format
from engine.formats.offered import Offered
from engine.formats.schema import Rules, SchemaRules, quoted

Schema = Mapping[str, Any]
Writer = Callable[[Rules, Offered, bool], str]
_LINE = "\n"


def call_grammar(form: Format, tools: Offered, *, at_most_one: bool, in_reasoning: bool) -> str:
    """GBNF for an answer that consists of calls alone, behind reasoning where the model reasons.

    ``in_reasoning``: the prompt ends where reasoning has begun. Raises InvalidRequest for schemas that are too much.
    """
    rules = Rules()
    if form.is_harmony:
        return rules.text(_harmony(rules, tools))
    write = _WRITERS[form.calls.name]
    calls = write(rules, tools, at_most_one)
    if form.reasoning is None:
        return rules.text(calls)
    opening, closing = form.reasoning
    thought = f"{rules.until(closing)} blank"
    rules.define("blank", r"[ \t\n]*")
    if in_reasoning:
        return rules.text(f"{thought} {calls}")
    return rules.text(f"blank ( {quoted(opening)} {thought} )? {calls}")


def _joined(call: str, between: str, *, at_most_one: bool) -> str:
    return call if at_most_one else f"{call} ( {between} {call} )*"


def _arguments(rules: Rules, schema: Schema) -> str:
    """An object in any case: a schema may say nothing at all."""
    described = dict(schema) if "properties" in schema or "$ref" in schema else {**schema, "type": "object"}
    return SchemaRules(rules, schema).rule(described)


def _object_call(rules: Rules, tools: Offered, key: str, name_key: str = "name") -> str:
    """``{"name": ..., "arguments": {...}}`` for any of the tools."""
    choices = []
    for name, schema in tools.schemas.items():
        head = f'{{"{name_key}": {json.dumps(name, ensure_ascii=False)}, "{key}": '
        choices.append(f'{quoted(head)} {_arguments(rules, schema)} "}}"')
    return rules.add(" | ".join(choices))


def _named_call(rules: Rules, tools: Offered, before: str, behind: str, close: str) -> str:
    """The name between two markers, the arguments, and a last marker."""
    choices = [
        f"{quoted(before + name + behind)} {_arguments(rules, schema)} {quoted(close)}"
        for name, schema in tools.schemas.items()
    ]
    return rules.add(" | ".join(choices))


def _tagged(opening: str, closing: str) -> Writer:
    def write(rules: Rules, tools: Offered, at_most_one: bool) -> str:
        call = rules.add(f"{quoted(opening)} {_object_call(rules, tools, 'arguments')} {quoted(closing)}")
        return _joined(call, r'"\n"', at_most_one=at_most_one)

    return write


def _listed(opening: str, closing: str, key: str, name_key: str = "name") -> Writer:
    def write(rules: Rules, tools: Offered, at_most_one: bool) -> str:
        call = _object_call(rules, tools, key, name_key)
        return f"{quoted(opening)} {_joined(call, quoted(', '), at_most_one=at_most_one)} {quoted(closing)}"

    return write


def _bare(key: str) -> Writer:
    return lambda rules, tools, _: _object_call(rules, tools, key)


def _mistral_args(rules: Rules, tools: Offered, at_most_one: bool) -> str:
    call = _named_call(rules, tools, "[TOOL_CALLS]", "[ARGS]", "")
    return _joined(call, '""', at_most_one=at_most_one)


def _deepseek(behind: str, before_name: str, close: str) -> Writer:
    def write(rules: Rules, tools: Offered, at_most_one: bool) -> str:
        before = deepseek_marker("tool call begin") + before_name
        call = _named_call(rules, tools, before, behind, close + deepseek_marker("tool call end"))
        calls = _joined(call, r'"\n"?', at_most_one=at_most_one)
        return f"{quoted(deepseek_marker('tool calls begin'))} {calls} {quoted(deepseek_marker('tool calls end'))}"

    return write


def _qwen_coder(rules: Rules, tools: Offered, at_most_one: bool) -> str:
    def parameters(name: str, schema: Schema) -> str:
        return _plain_parameters(rules, tools, name, schema, "<parameter={}>\n", "\n</parameter>\n")

    choices = [
        f"{quoted(f'<tool_call>{_LINE}<function={name}>{_LINE}')} {parameters(name, schema)}"
        for name, schema in tools.schemas.items()
    ]
    call = rules.add(f"{rules.add(' | '.join(choices))} {quoted(f'</function>{_LINE}</tool_call>')}")
    return _joined(call, r'"\n"', at_most_one=at_most_one)


def _glm(rules: Rules, tools: Offered, at_most_one: bool) -> str:
    def parameters(name: str, schema: Schema) -> str:
        opening = "<arg_key>{}</arg_key>\n<arg_value>"
        return _plain_parameters(rules, tools, name, schema, opening, "</arg_value>\n")

    choices = [
        f"{quoted(f'<tool_call>{name}{_LINE}')} {parameters(name, schema)}" for name, schema in tools.schemas.items()
    ]
    call = rules.add(f"{rules.add(' | '.join(choices))} {quoted('</tool_call>')}")
    return _joined(call, r'"\n"', at_most_one=at_most_one)


def _plain_parameters(rules: Rules, tools: Offered, name: str, schema: Schema, opening: str, closing: str) -> str:
    """Each property in its order, with a value that is plain text where it is a string."""
    schemas, written = SchemaRules(rules, schema), []
    for key, part, is_required in schemas.properties(schema):
        types = tools.types(name, key)
        choices = part.get("enum") if isinstance(part, dict) else None
        if types and "string" not in types:
            value = f"{schemas.rule(part)} {quoted(closing)}"
        elif isinstance(choices, list) and choices:
            texts = (entry if isinstance(entry, str) else json.dumps(entry) for entry in choices)
            value = f"( {' | '.join(map(quoted, texts))} ) {quoted(closing)}"
        else:
            value = rules.until(closing)
        parameter = rules.add(f"{quoted(opening.format(key))} {value}")
        written.append(parameter if is_required else f"{parameter}?")
    return " ".join(written) or '""'


def _python(opening: str, closing: str) -> Writer:
    def write(rules: Rules, tools: Offered, at_most_one: bool) -> str:
        choices = []
        for name, schema in tools.schemas.items():
            schemas = SchemaRules(rules, schema)
            members = [
                (rules.add(f"{quoted(key + '=')} {schemas.rule(part)}"), is_required)
                for key, part, is_required in schemas.properties(schema)
            ]
            choices.append(f"{quoted(name + '(')} {schemas.members(members)} {quoted(')')}")
        call = _joined(rules.add(" | ".join(choices)), quoted(", "), at_most_one=at_most_one)
        return f"{quoted(opening + '[')} {call} {quoted(']' + closing)}"

    return write


def _gemma(opening: str, quote: str, closing: str) -> Writer:
    def write(rules: Rules, tools: Offered, at_most_one: bool) -> str:
        text = rules.add(f"{quoted(quote)} {rules.until(quote)}")
        types = _gemma_types(rules, text)
        choices = []
        for name, schema in tools.schemas.items():
            schemas = SchemaRules(rules, schema)
            members = [
                (rules.add(f"{quoted(key + ':')} {_gemma_part(part, quote, types)}"), is_required)
                for key, part, is_required in schemas.properties(schema)
            ]
            choices.append(f"{quoted(f'{opening}call:{name}{{')} {schemas.members(members)} {quoted('}' + closing)}")
        return _joined(rules.add(" | ".join(choices)), '""', at_most_one=at_most_one)

    return write


def _gemma_types(rules: Rules, text: str) -> dict[str, str]:
    """Rules for the types of JSON in Gemma's notation."""
    value = rules.reserve()
    member = rules.add(f'[a-zA-Z_] [a-zA-Z0-9_]* ":" {value}')
    types = {
        "string": text,
        "integer": "integer",
        "number": "number",
        "boolean": "boolean",
        "null": "null",
        "object": rules.add(f'"{{" ( {member} ( "," {member} )* )? "}}"'),
        "array": rules.add(f'"[" ( {value} ( "," {value} )* )? "]"'),
    }
    rules.define(value, " | ".join(types.values()))
    return types | {"value": value}


def _gemma_part(part: object, quote: str, types: dict[str, str]) -> str:
    """Types and enumerations as the schema says; what is inside of lists and objects is the model's."""
    schema = part if isinstance(part, dict) else {}
    choices = schema.get("enum")
    if isinstance(choices, list) and choices:
        texts = (f"{quote}{entry}{quote}" if isinstance(entry, str) else json.dumps(entry) for entry in choices)
        return f"( {' | '.join(map(quoted, texts))} )"
    kind = schema.get("type")
    return types.get(kind, types["value"]) if isinstance(kind, str) else types["value"]


def _harmony(rules: Rules, tools: Offered) -> str:
    """Behind the call the model ends its turn, so there is never more than one."""
    thought = f"{quoted('<|channel|>analysis<|message|>')} {rules.until('<|end|>')} {quoted('<|start|>assistant')}"
    before, behind = "<|channel|>commentary to=functions.", " <|constrain|>json<|message|>"
    return f"( {thought} )? {_named_call(rules, tools, before, behind, '')}"


_WRITERS: dict[str, Writer] = {
    "hermes": _tagged("<tool_call>\n", "\n</tool_call>"),
    "plain": _tagged("<tool_call>\n", "\n</tool_call>"),
    "qwen-coder": _qwen_coder,
    "glm": _glm,
    "llama3": _bare("parameters"),
    "llama4": _python("", ""),
    "lfm2": _python("<|tool_call_start|>", "<|tool_call_end|>"),
    "mistral-list": _listed("[TOOL_CALLS][", "]", "arguments"),
    "mistral-args": _mistral_args,
    "phi4": _listed("<|tool_call|>[", "]<|/tool_call|>", "arguments"),
    "command": _listed("<|START_ACTION|>[", "]<|END_ACTION|>", "parameters", "tool_name"),
    "deepseek-v3": _deepseek("\n```json\n", "function" + deepseek_marker("tool sep"), "\n```"),
    "deepseek-v3.1": _deepseek(deepseek_marker("tool sep"), "", ""),
    "function-gemma": _gemma("<start_function_call>", "<escape>", "<end_function_call>"),
    "gemma4": _gemma("<|tool_call>", '<|"|>', "<tool_call|>"),
    "unknown": _bare("arguments"),
}
