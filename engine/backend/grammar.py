"""Grammars and JSON schemas of requests, as what follows their answers."""

from __future__ import annotations

import importlib
import json
import re
from collections import OrderedDict
from typing import Any

from engine.backend.vocab import LlamaVocab
from engine.errors import InvalidRequest
from engine.gbnf import MAX_BYTES, MAX_FRAMES, MAX_REPETITION, Follower, Machine, Vocabulary, parse
from engine.types import SamplingParams, TokenId

_MOST_MACHINES = 8
_REPETITION = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength")


class Grammars:
    """The grammars that were used last, with what was found out about them. One for each backend. Thread: one."""

    def __init__(self, vocab: LlamaVocab) -> None:
        self._vocab = vocab
        self._vocabulary = Vocabulary(vocab.n_tokens, lambda token: vocab.text_of(TokenId(token)), self._ends)
        self._machines: OrderedDict[str, Machine] = OrderedDict()

    def follow(self, params: SamplingParams) -> Follower | None:
        """What follows an answer of a request, or None where none is asked for. Raises InvalidRequest."""
        text = params.grammar
        if params.json_schema is not None:
            text = _from_schema(params.json_schema)
        return None if text is None else Follower(self._machine(text), self._vocabulary)

    def _machine(self, text: str) -> Machine:
        machine = self._machines.pop(text, None)
        if machine is None or machine.n_frames > MAX_FRAMES:
            machine = Machine(parse(text, self._token_of))
        self._machines[text] = machine
        if len(self._machines) > _MOST_MACHINES:
            self._machines.popitem(last=False)
        return machine

    def _token_of(self, text: str) -> int | None:
        tokens = self._vocab.tokenize(text, special=True)
        return tokens[0] if len(tokens) == 1 else None

    def _ends(self, token: int) -> bool:
        return self._vocab.ends_turn(TokenId(token))


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


def _repetition(bare: str) -> int:
    """The product of all counts: an upper bound for repetitions within repetitions."""
    product = 1
    for low, high in _REPETITION.findall(bare):
        product *= max(int(low[:9] or 0), int(high[:9] or 0), 1)
        if product > MAX_REPETITION:
            break
    return product
