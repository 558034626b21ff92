"""Grammars from outside, kept within what llama.cpp can compile without dying or hanging.

Its parser recurses (20,000 nested brackets end the process) and expands repetitions (``("a"? "b"?){200}`` costs half a
minute that nothing can interrupt), so both are bounded before it sees the text.
"""

from __future__ import annotations

import importlib
import json
import re
from typing import Any

from engine.backend.bindings import lib
from engine.errors import InvalidRequest
from engine.types import SamplingParams

MAX_BYTES = 65_536
MAX_DEPTH = 64
MAX_REPETITION = 2_000
_REPETITION = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength")
_LITERAL = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]')


def make_grammar_sampler(params: SamplingParams, vocab: Any) -> Any | None:
    """A grammar sampler, or None where none is asked for. Raises InvalidRequest."""
    text = params.grammar
    if params.json_schema is not None:
        text = _from_schema(params.json_schema)
    if text is None:
        return None
    if problem := _problem(text):
        raise InvalidRequest(f"The grammar {problem}.")
    sampler = lib.llama_sampler_init_grammar(vocab, text.encode(), b"root")
    if not sampler:
        raise InvalidRequest("The grammar has a mistake, or no rule named root.")
    return sampler


def _from_schema(schema: str) -> str:
    """Converted by the bindings' own module, a part of llama.cpp. References to other files are not followed."""
    if len(schema.encode(errors="replace")) > MAX_BYTES:
        raise InvalidRequest(f"The JSON schema is longer than {MAX_BYTES:,} bytes.")
    try:
        if _counts_too_far(json.loads(schema)):  # the converter would write each one out
            raise InvalidRequest(f"The JSON schema repeats something more than {MAX_REPETITION:,} times.")
        converter = importlib.import_module("llama_cpp.llama_grammar")
        return str(converter.json_schema_to_gbnf(schema))
    except InvalidRequest:
        raise
    except RecursionError as error:
        raise InvalidRequest("The JSON schema is nested too deeply.") from error
    except Exception as error:  # the converter raises whatever the schema makes it stumble over
        raise InvalidRequest(f"The JSON schema cannot be used: {error}.") from error


def _counts_too_far(schema: Any) -> bool:
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            waiting += part.values()
            counts = [part[key] for key in _COUNTS if isinstance(part.get(key), int)]
            counts += [_repetition(part["pattern"])] if isinstance(part.get("pattern"), str) else []
            if max(counts, default=0) > MAX_REPETITION:
                return True
    return False


def _problem(text: str) -> str | None:
    if len(text.encode(errors="replace")) > MAX_BYTES:
        return f"is longer than {MAX_BYTES:,} bytes"
    if "\0" in text:
        return "holds a NUL character"
    bare = _LITERAL.sub("x", text)
    if _depth(bare) > MAX_DEPTH:
        return f"is nested more than {MAX_DEPTH} deep"
    if _repetition(bare) > MAX_REPETITION:
        return f"repeats something more than {MAX_REPETITION:,} times"
    return None


def _depth(bare: str) -> int:
    deepest = depth = 0
    for letter in bare:
        depth += (letter == "(") - (letter == ")")
        deepest = max(deepest, depth)
    return deepest


def _repetition(bare: str) -> int:
    """The product of all counts: an upper bound for repetitions within repetitions."""
    product = 1
    for low, high in _REPETITION.findall(bare):
        product *= max(int(low[:9] or 0), int(high[:9] or 0), 1)
        if product > MAX_REPETITION:
            break
    return product
