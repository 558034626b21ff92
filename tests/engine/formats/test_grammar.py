"""Grammars of calls: llama.cpp takes them, and whatever they allow is a call that fits the tool's schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.backend.bindings import lib
from engine.errors import InvalidRequest
from engine.formats import Format, Offered, Piece, Reasoning, call_grammar, families
from engine.types import Tool, ToolCallPart
from tests.doubles.families import NOW, THINK, TOOLS, WEATHER, Answer, parse
from tests.doubles.gbnf import Writer
from tests.doubles.gguf import make_tiny_gguf

FORMS = [form for form in vars(families).values() if isinstance(form, families.CallForm)]
FORMATS = {
    form.name: Format(form, None if form is families.HARMONY else THINK, is_harmony=form is families.HARMONY)
    for form in FORMS
}


@pytest.fixture(scope="module")
def vocab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    params = lib.llama_model_default_params()
    params.vocab_only = True
    path: Path = make_tiny_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf")
    model = lib.llama_model_load_from_file(str(path).encode(), params)
    yield lib.llama_model_get_vocab(model)
    lib.llama_model_free(model)


def compiles(grammar: str, vocab: Any) -> None:
    """By llama.cpp itself: what is made here is its format and no dialect."""
    sampler = lib.llama_sampler_init_grammar(vocab, grammar.encode(), b"root")
    assert sampler
    lib.llama_sampler_free(sampler)


def calls_of(pieces: list[Piece]) -> list[ToolCallPart]:
    assert all(isinstance(piece, ToolCallPart | Reasoning) for piece in pieces), pieces
    return [piece for piece in pieces if isinstance(piece, ToolCallPart)]


def fits_weather(arguments: dict[str, Any]) -> bool:
    kinds = {"city": str, "days": int, "unit": str, "options": dict}
    return (
        "city" in arguments
        and all(isinstance(value, kinds[key]) for key, value in arguments.items())
        and arguments.get("unit", "kelvin") in {"celsius", "kelvin"}
    )


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("in_reasoning", [False, True])
def test_what_the_grammar_of_a_family_allows_is_a_call(name: str, in_reasoning: bool, vocab: Any) -> None:
    form = FORMATS[name]
    grammar = call_grammar(form, TOOLS, at_most_one=False, in_reasoning=in_reasoning)
    compiles(grammar, vocab)

    for seed in range(30):
        text = Writer(grammar, seed).text()
        pieces, n_complete = parse(Answer(form, text, (), in_reasoning), [text])
        calls = calls_of(pieces)
        assert n_complete == len(calls) > 0, text
        for call in calls:
            arguments = json.loads(call.arguments)
            assert fits_weather(arguments) if call.name == "get_weather" else arguments == {}, text


@pytest.mark.parametrize("name", FORMATS)
def test_at_most_one_call_is_one_call(name: str) -> None:
    grammar = call_grammar(FORMATS[name], Offered((NOW,)), at_most_one=True, in_reasoning=False)

    for seed in range(20):
        text = Writer(grammar, seed).text()
        assert len(calls_of(parse(Answer(FORMATS[name], text, ()), [text])[0])) == 1


SCHEMAS: list[tuple[str, object, object]] = [
    ('{"properties": {"a": {"enum": [1, "x", null]}}, "required": ["a"]}', {"a": "x"}, {"a": 2}),
    ('{"properties": {"a": {"const": 7}}, "required": ["a"]}', {"a": 7}, {}),
    ('{"properties": {"a": {"type": ["integer", "null"]}}, "required": ["a"]}', {"a": None}, {"a": "1"}),
    ('{"properties": {"a": {"anyOf": [{"type": "boolean"}, {"type": "null"}]}}}', {"a": True}, {"a": 0}),
    ('{"properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}}', {"a": 3}, {"a": 3.5}),
    ('{"properties": {"a": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3}}}',
     {"a": [1, 2]}, {"a": [1]}),
    ('{"properties": {"a": {"type": "string", "minLength": 1, "maxLength": 2}}}', {"a": "xy"}, {"a": "xyz"}),
    ('{"properties": {"a": {"type": "object", "additionalProperties": {"type": "integer"}}}}',
     {"a": {"b": 1}}, {"a": {"b": "c"}}),
    ('{"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {}}}]}',
     {"a": 1, "b": [{}]}, {"b": 1}),
    ('{"type": "object"}', {"anything": [1, {"x": None}]}, [1]),
    ('{"properties": {"a": {"description": "said in words"}}}', {"a": {"b": [1]}}, {"c": 1}),
    ('{"properties": {"a\\"\\n]": {"type": "null"}}}', {'a"\n]': None}, {"a": None}),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "good", "bad"), SCHEMAS)
def test_a_schema_is_followed(schema: str, good: object, bad: object, starter_model: Path) -> None:
    tools = Offered((Tool("f", "", schema),))
    grammar = call_grammar(Format(families.LLAMA3), tools, at_most_one=True, in_reasoning=False)

    with Acceptor(starter_model) as accepts:
        assert accepts(grammar, '{"name": "f", "parameters": ' + json.dumps(good) + "}")
        assert not accepts(grammar, '{"name": "f", "parameters": ' + json.dumps(bad) + "}")


class Acceptor:
    """Asks llama.cpp's own sampler, token by token, whether a text may be written."""

    def __init__(self, path: Path) -> None:
        params = lib.llama_model_default_params()
        params.vocab_only = True
        self._model = lib.llama_model_load_from_file(str(path).encode(), params)

    def __enter__(self) -> Acceptor:
        return self

    def __exit__(self, *_: object) -> None:
        lib.llama_model_free(self._model)

    def __call__(self, grammar: str, text: str) -> bool:
        from engine.backend.vocab import LlamaVocab

        vocab = LlamaVocab(lib.llama_model_get_vocab(self._model))
        sampler = lib.llama_sampler_init_grammar(vocab.handle, grammar.encode(), b"root")
        end = next(token for token in range(vocab.n_tokens) if vocab.ends_turn(token))  # type: ignore[arg-type]
        try:
            for token in [*vocab.tokenize(text, False), end]:
                if not self._allows(sampler, token):
                    return False
                if token != end:
                    lib.llama_sampler_accept(sampler, token)
            return True
        finally:
            lib.llama_sampler_free(sampler)

    @staticmethod
    def _allows(sampler: Any, token: int) -> bool:
        data = (lib.llama_token_data * 1)(lib.llama_token_data(token, 1.0, 0.0))
        candidates = lib.llama_token_data_array(data, 1, -1, False)
        lib.llama_sampler_apply(sampler, candidates)
        return bool(data[0].logit > float("-inf"))


def test_a_recursive_schema_is_taken(vocab: Any) -> None:
    definition = {"type": "array", "items": {"$ref": "#/$defs/t"}}
    tree = json.dumps({"properties": {"t": {"$ref": "#/$defs/t"}}, "$defs": {"t": definition}})
    grammar = call_grammar(
        Format(families.HERMES), Offered((Tool("f", "", tree),)), at_most_one=True, in_reasoning=False
    )

    compiles(grammar, vocab)


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        (Tool("f", "", "{"), "valid JSON"),
        (Tool("f", "", "[]"), "object"),
        (Tool("f", "", '{"a":' * 100 + "1" + "}" * 100), "deep"),
        (Tool("f", "", '{"a":' * 60_000), "longer"),
        (Tool("a b", ""), "name"),
    ],
)
def test_tools_that_cannot_be_offered(tool: Tool, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        Offered((tool,))


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ('{"properties": {"a": {"$ref": "https://example.org/x"}}}', "itself"),
        ('{"properties": {"a": {"$ref": "#/nothing"}}}', "not in it"),
        ('{"properties": {"a": {"type": "array", "minItems": 1000000000}}}', "at least"),
        ('{"properties": {"a": {"enum": []}}}', "at least one"),
    ],
)
def test_schemas_that_no_grammar_can_follow(schema: str, words: str) -> None:
    tools = Offered((Tool("f", "", schema),))
    with pytest.raises(InvalidRequest, match=words):
        call_grammar(Format(families.HERMES), tools, at_most_one=True, in_reasoning=False)


def test_schemas_that_are_too_large_together() -> None:
    properties = ", ".join(f'"p{n}": {{"type": "string"}}' for n in range(1_000))
    tools = Offered(tuple(Tool(f"f{n}", "", '{"properties": {' + properties + "}}") for n in range(4)))
    with pytest.raises(InvalidRequest, match="too large"):
        call_grammar(Format(families.HERMES), tools, at_most_one=True, in_reasoning=False)


def test_two_tools_of_one_name() -> None:
    with pytest.raises(InvalidRequest, match="Two tools"):
        Offered((WEATHER, WEATHER))
