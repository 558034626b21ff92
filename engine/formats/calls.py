"""How the families write a call of a tool: one coroutine for each form, from behind its marker to its end.

A coroutine raises Malformed as soon as a letter cannot belong to a call, and returns letters that came after it. What
it is sent before the call is announced is recorded by whoever drives it, and becomes text again if it is malformed.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable

from engine.formats.letters import (
    Malformed,
    Reader,
    Sink,
    escaped,
    expect,
    json_string,
    json_value,
    name_until,
    raw_string,
    skip_space,
    text_until,
)
from engine.formats.offered import Offered
from engine.formats.pieces import Pieces

Body = Callable[[Pieces, Offered], Reader[str]]

_NAME_KEYS = frozenset({"name", "tool_name", "function_name"})
_ARGUMENT_KEYS = frozenset({"arguments", "parameters", "args"})
_PLAIN_NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")


def json_calls(close: str = "", first: str = "") -> Body:
    """``{"name": ..., "arguments": {...}}``, or a list of such objects, up to ``close``.

    With ``first`` the first letter was read as the marker.
    """

    def body(out: Pieces, tools: Offered) -> Reader[str]:
        letter = first or (yield from skip_space())
        if letter == "{":
            yield from _json_call(out)
        elif letter == "[":
            yield from _json_list(out)
        else:
            raise Malformed
        return (yield from _tail(close))

    return body


def _json_list(out: Pieces) -> Reader[None]:
    n_before = out.n_calls
    while (letter := (yield from skip_space())) != "]":
        if letter == "{":
            out.record("{")
            yield from _json_call(out)
        elif letter != ",":
            raise Malformed
    if out.n_calls == n_before:
        raise Malformed


def _json_call(out: Pieces) -> Reader[None]:
    """The rest of a call behind its opening brace. Its arguments stream if the name comes before them."""
    name, arguments, is_announced = "", "{}", False
    letter = yield from skip_space()
    while letter != "}":
        key = yield from _json_key(letter)
        letter = yield from skip_space()
        if key in _NAME_KEYS and letter == '"' and not name:
            name, letter = (yield from json_string()), ""
            out.admit(name)
        elif key in _ARGUMENT_KEYS and name and not is_announced:
            is_announced = True
            out.announce(name)
            letter = yield from _arguments(letter, out)
        elif key == "function" and letter == "{" and not name:
            yield from _json_call(out)
            name, is_announced, letter = "function", True, ""
        else:
            held: list[str] = []
            letter = yield from json_value(letter, held.append)
            if key in _ARGUMENT_KEYS:
                arguments = "".join(held)
        letter = yield from _next_key(letter)
    if not name:
        raise Malformed
    if not is_announced:
        out.announce(name)
        out.arguments(_unwrapped(arguments))
        out.complete()


def _json_key(letter: str) -> Reader[str]:
    if letter != '"':
        raise Malformed
    key = yield from json_string()
    if (yield from skip_space()) != ":":
        raise Malformed
    return key


def _next_key(letter: str) -> Reader[str]:
    """Behind a value: the quote of the next key, or the closing brace."""
    if not letter or letter.isspace():
        letter = yield from skip_space()
    if letter == ",":
        return (yield from skip_space())
    if letter != "}":
        raise Malformed
    return letter


def _arguments(first: str, out: Pieces) -> Reader[str]:
    """An object as it stands. Some models write it into a string, or write null."""
    if first == "{":
        letter = yield from json_value(first, out.arguments)
    else:
        held: list[str] = []
        letter = yield from json_value(first, held.append)
        out.arguments(_unwrapped("".join(held)))
    out.complete()
    return letter


def _unwrapped(text: str) -> str:
    try:
        value = json.loads(text)
        if isinstance(value, str) and isinstance(json.loads(value or "{}"), dict):
            return value or "{}"
    except (ValueError, RecursionError):
        return text
    return "{}" if value is None else text


def _tail(close: str) -> Reader[str]:
    """Up to behind the closing marker, if it comes. A brace too many is forgiven."""
    if not close:
        return ""
    while (letter := (yield)).isspace() or letter == "}":
        pass
    read = letter
    while read != close:
        if not close.startswith(read):
            return read
        read += yield
    return ""


def mistral_calls(out: Pieces, tools: Offered) -> Reader[str]:
    """A list of JSON objects, or since its version 11 ``name[ARGS]{...}``, maybe with ``[CALL_ID]...`` in between."""
    letter = yield from skip_space()
    if letter == "[":
        yield from _json_list(out)
        return ""
    if letter not in _PLAIN_NAME_LETTERS:
        raise Malformed
    rest, end = yield from name_until("[{")
    while end == "[":
        tag, _ = yield from name_until("]")
        if tag not in {"ARGS", "CALL_ID"}:
            raise Malformed
        _, end = yield from name_until("[{")
    out.announce(letter + rest)
    return (yield from _arguments(end, out))


def deepseek_marker(words: str) -> str:
    """DeepSeek writes a wide bar where others write a narrow one, and a low block for a space."""
    return "<\uff5c" + words.replace(" ", "\u2581") + "\uff5c>"


_DEEPSEEK_BEHIND_NAME = deepseek_marker("tool sep")
_DEEPSEEK_CLOSE = deepseek_marker("tool call end")


def deepseek_calls(out: Pieces, tools: Offered) -> Reader[str]:
    """``name<sep>{...}`` (V3.1), or ``function<sep>name`` and the arguments in a block of code (V3 and R1)."""
    letters: list[str] = []
    yield from text_until(_DEEPSEEK_BEHIND_NAME, letters.append)
    name, is_fenced = "".join(letters).strip(), False
    if name == "function":
        name, _ = yield from name_until("\n")
        yield from expect("```json")
        is_fenced = True
    first = yield from skip_space()
    if not 0 < len(name) <= 256 or first != "{":
        raise Malformed
    out.announce(name)
    yield from _arguments(first, out)
    return (yield from _tail(("```" if is_fenced else "") + _DEEPSEEK_CLOSE))


def xml_calls(close: str, first: str = "") -> Body:
    """Qwen3-Coder: ``<function=name><parameter=key>value</parameter></function>``, in or without ``<tool_call>``."""

    def body(out: Pieces, tools: Offered) -> Reader[str]:
        if not first:
            if (yield from skip_space()) != "<":
                raise Malformed
            yield from expect("function=")
        name, _ = yield from name_until(">")
        out.announce(name)
        parameters = _Parameters(out, tools, name)
        while (tag := (yield from _tag())).startswith("parameter="):
            yield from parameters.read(tag.removeprefix("parameter="), "</parameter>")
        parameters.close()
        if tag == close[1:-1]:  # the function's own end was forgotten
            return ""
        if tag != "/function":
            raise Malformed
        return (yield from _tail(close))

    return body


def glm_calls(out: Pieces, tools: Offered) -> Reader[str]:
    """GLM: ``name``, then ``<arg_key>key</arg_key><arg_value>value</arg_value>`` for each parameter."""
    name, letter = yield from name_until("\n<")
    out.admit(name)
    if letter != "<" and (yield from skip_space()) != "<":
        raise Malformed
    tag, _ = yield from name_until(">")
    if tag not in {"arg_key", "/tool_call"}:
        raise Malformed
    out.announce(name)
    parameters = _Parameters(out, tools, name)
    while tag == "arg_key":
        key, _ = yield from name_until("<")
        yield from expect("/arg_key>")
        if (yield from _tag()) != "arg_value":
            raise Malformed
        yield from parameters.read(key, "</arg_value>")
        tag = yield from _tag()
    parameters.close()
    if tag != "/tool_call":
        raise Malformed
    return ""


def _tag() -> Reader[str]:
    if (yield from skip_space()) != "<":
        raise Malformed
    name, _ = yield from name_until(">")
    return name


class _Parameters:
    """Values that are written as plain text, put together to a JSON object. The schema tells which are strings."""

    def __init__(self, out: Pieces, tools: Offered, name: str) -> None:
        self._out = out
        self._tools = tools
        self._name = name
        self._n_read = 0

    def read(self, key: str, close: str) -> Reader[None]:
        self._begin(key)
        types = self._tools.types(self._name, key)
        first = yield
        first = "" if first == "\n" else first
        if "string" in types or not types:
            yield from self._read_string(close, first, may_be_null="null" in types)
        else:
            held: list[str] = []
            yield from text_until(close, held.append, before="\n", first=first)
            self._out.arguments(literal("".join(held)))

    def add(self, key: str, value: str) -> None:
        """A value that is JSON already."""
        self._begin(key)
        self._out.arguments(value)

    def close(self) -> None:
        self._out.arguments("}" if self._n_read else "{}")
        self._out.complete()

    def _begin(self, key: str) -> None:
        self._out.arguments(("{" if not self._n_read else ", ") + json.dumps(key, ensure_ascii=False) + ": ")
        self._n_read += 1

    def _read_string(self, close: str, first: str, *, may_be_null: bool) -> Reader[None]:
        if may_be_null:
            held: list[str] = []
            yield from text_until(close, held.append, before="\n", first=first)
            text = "".join(held)
            self._out.arguments("null" if text == "null" else json.dumps(text, ensure_ascii=False))
            return
        self._out.arguments('"')
        yield from text_until(close, lambda letter: self._out.arguments(escaped(letter)), before="\n", first=first)
        self._out.arguments('"')


def literal(text: str) -> str:
    """A value as JSON, which was written as JSON or as Python; anything else is a string."""
    text = text.strip()
    for read in (json.loads, ast.literal_eval):
        try:
            return json.dumps(read(text), ensure_ascii=False, allow_nan=False)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return json.dumps(text, ensure_ascii=False)


def python_calls(close: str = "", first: str = "") -> Body:
    """``[name(key=value, ...), ...]``: calls as Python writes them (Llama 4, LFM2)."""

    def body(out: Pieces, tools: Offered) -> Reader[str]:
        if (first or (yield from skip_space())) != "[":
            raise Malformed
        n_before, letter = out.n_calls, (yield from skip_space())
        while letter != "]":
            out.record(letter)
            yield from _python_call(letter, out, tools)
            letter = yield from skip_space()
            if letter == ",":
                letter = yield from skip_space()
            elif letter != "]":
                raise Malformed
        if out.n_calls == n_before:
            raise Malformed
        return (yield from _tail(close))

    return body


def _python_call(first: str, out: Pieces, tools: Offered) -> Reader[None]:
    if first not in _PLAIN_NAME_LETTERS:
        raise Malformed
    rest, _ = yield from name_until("(")
    name = (first + rest).removesuffix(".call")
    if not _PLAIN_NAME_LETTERS.issuperset(name):
        raise Malformed
    out.admit(name)
    letter = yield from skip_space()
    parameters = _Parameters(out, tools, name)
    is_announced = False
    while letter != ")":
        rest, _ = yield from name_until("=")
        key = (letter + rest).strip()
        if not _PLAIN_NAME_LETTERS.issuperset(key):
            raise Malformed
        if not is_announced:
            is_announced = True
            out.announce(name)
        held: list[str] = []
        letter = yield from _python_value(held.append)
        parameters.add(key, literal("".join(held)))
        if letter == ",":
            letter = yield from skip_space()
    if not is_announced:
        out.announce(name)
    parameters.close()


def _python_value(sink: Sink) -> Reader[str]:
    """Up to the comma or bracket that ends it, which is returned."""
    depth = 0
    while True:
        letter = yield
        if not depth and letter in ",)":
            return letter
        sink(letter)
        if letter in "\"'":
            yield from raw_string(letter, sink)
        depth += (letter in "([{") - (letter in ")]}")


def llama_tag_calls(out: Pieces, tools: Offered) -> Reader[str]:
    """Behind ``<|python_tag|>``: a JSON object, or ``name.call(key=value)`` for the tools that Llama knows itself."""
    letter = yield from skip_space()
    if letter == "{":
        yield from _json_call(out)
    elif letter == "[":
        yield from _json_list(out)
    else:
        yield from _python_call(letter, out, tools)
    return ""


def gemma_calls(quote: str, close: str) -> Body:
    """``call:name{key:value}``, with strings between two ``quote`` (FunctionGemma, Gemma 4)."""

    def body(out: Pieces, tools: Offered) -> Reader[str]:
        yield from expect("call:")
        name, _ = yield from name_until("{")
        out.announce(name)
        out.arguments("{")
        yield from _gemma_values(quote, out)
        out.complete()
        return (yield from _tail(close))

    return body


def _gemma_values(quote: str, out: Pieces) -> Reader[None]:
    """What stands behind an opening brace, up to its closing one, written as JSON."""
    open_, needs_comma, letter = ["}"], False, ""
    while open_:
        letter = letter if letter and not letter.isspace() else (yield from skip_space())
        if letter in "}]":
            if letter != open_.pop():
                raise Malformed
            out.arguments(letter)
            needs_comma, letter = True, ""
            continue
        if letter == ",":
            letter = ""
            continue
        if needs_comma:
            out.arguments(", ")
        if open_[-1] == "}":
            key = yield from _gemma_key(letter, quote)
            out.arguments(json.dumps(key, ensure_ascii=False) + ": ")
            letter = yield from skip_space()
        needs_comma = letter not in "{["
        if not needs_comma:
            open_.append("}" if letter == "{" else "]")
            out.arguments(letter)
            letter = ""
        else:
            letter = yield from _gemma_scalar(letter, quote, out)


def _gemma_key(first: str, quote: str) -> Reader[str]:
    if first == quote[0]:
        letters: list[str] = []
        yield from expect(quote[1:])
        yield from text_until(quote, letters.append)
        yield from expect(":")
        return "".join(letters)
    rest, _ = yield from name_until(":")
    return (first + rest).strip().strip('"')


def _gemma_scalar(first: str, quote: str, out: Pieces) -> Reader[str]:
    """A string, a number or a word. Returns the letter behind it, if that was read."""
    if first == quote[0]:
        yield from expect(quote[1:])
        out.arguments('"')
        yield from text_until(quote, lambda letter: out.arguments(escaped(letter)))
        out.arguments('"')
        return ""
    letters = [first]
    while (letter := (yield)) not in ",}]":
        letters.append(letter)
    out.arguments(literal("".join(letters)))
    return letter
