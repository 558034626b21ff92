"""Every sampler does what it is there for, and grammars from outside cannot end the process."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from engine.backend.llama import LlamaBackend
from engine.backend.sampling import Sampler
from engine.config import EngineConfig, LoadSpec
from engine.errors import InvalidRequest
from engine.step import Chunk, StepPlan, StepStatus
from engine.types import RequestId, SamplingParams, SeqId, TokenId
from tests.doubles.gguf import make_tiny_gguf

A, B = RequestId("a"), RequestId("b")
DOUBLING = "\n".join(
    ["root ::= r0 r0", *(f"r{n} ::= r{n + 1}? r{n + 1}? | r{n + 1}" for n in range(60)), 'r60 ::= "a"?']
)
"""Two ways to the next rule, sixty times: llama.cpp's own check of it would not end."""
HOT = {"temperature": 1.5, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": 3}


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaBackend]:
    path = make_tiny_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf")
    backend = LlamaBackend(LoadSpec(str(path), EngineConfig(n_ctx=512, n_ubatch=256, n_threads=1)), lambda _: None)
    yield backend
    backend.close()


def generate(backend: LlamaBackend, params: SamplingParams, n_tokens: int = 40) -> list[int]:
    prompt = tuple(TokenId(token) for token in backend.vocab.tokenize("hello", special=False))
    backend.open_sampler(A, params, prompt)
    backend.cells.trim(SeqId(0), 0)
    chunk, output = Chunk(A, SeqId(0), 0, prompt, sample=True), []
    for _ in range(n_tokens):
        result = backend.decode(StepPlan((chunk,)))
        assert result.status is StepStatus.DONE
        token = result.samples[0].token
        if backend.vocab.ends_turn(token):
            break
        output.append(token)
        chunk = Chunk(A, SeqId(0), chunk.end, (token,), sample=True)
    backend.close_sampler(A)
    return output


def text(backend: LlamaBackend, params: SamplingParams, n_tokens: int = 200) -> str:
    pieces = [backend.vocab.piece(TokenId(token)) for token in generate(backend, params, n_tokens)]
    return b"".join(pieces).decode(errors="replace")


@pytest.mark.parametrize(
    "change",
    [
        {"top_k": 2},
        {"top_p": 0.1},
        {"min_p": 0.9},
        {"typical_p": 0.2},
        {"presence_penalty": 5.0},
        {"frequency_penalty": 5.0},
        {"repeat_penalty": 5.0},
        {"dry_multiplier": 10.0, "dry_allowed_length": 1},
        {"xtc_probability": 1.0, "xtc_threshold": 0.01},
        {"mirostat": 1},
        {"mirostat": 2, "mirostat_tau": 0.1},
        {"logit_bias": ((7, 100.0),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_sampler_changes_the_answer_and_repeats_itself(
    backend: LlamaBackend, change: dict[str, float | int]
) -> None:
    plain = generate(backend, SamplingParams(**HOT))
    changed = generate(backend, SamplingParams(**{**HOT, **change}))

    assert changed != plain
    assert changed == generate(backend, SamplingParams(**{**HOT, **change}))


def test_a_bias_forces_and_forbids(backend: LlamaBackend) -> None:
    forced = generate(backend, SamplingParams(temperature=0.0, logit_bias=((9, 500.0),)), 5)
    forbidden = generate(backend, SamplingParams(temperature=0.0, logit_bias=((9, -500.0),)), 40)

    assert forced == [9] * 5
    assert 9 not in forbidden


def test_a_grammar_is_obeyed(backend: LlamaBackend) -> None:
    answer = text(backend, SamplingParams(temperature=1.0, seed=1, grammar='root ::= ("yes" | "no") "!"'))

    assert answer in ("yes!", "no!")


def test_a_json_schema_is_obeyed(backend: LlamaBackend) -> None:
    schema = {
        "type": "object",
        "properties": {"kind": {"enum": ["a", "b"]}, "on": {"type": "boolean"}},
        "required": ["kind", "on"],
        "additionalProperties": False,
    }
    whitespace = tuple((token, -100.0) for token in backend.vocab.tokenize(" \n\t", special=False))

    answer = json.loads(
        text(backend, SamplingParams(temperature=0.0, json_schema=json.dumps(schema), logit_bias=whitespace))
    )

    assert answer["kind"] in ("a", "b")
    assert answer["on"] in (True, False)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (SamplingParams(grammar="root ::= ("), "mistake"),
        (SamplingParams(grammar='start ::= "x"'), "root"),
        (SamplingParams(grammar=DOUBLING), "ambiguous"),
        (SamplingParams(grammar='root ::= root "a" | "b"'), "begins with itself"),
        (SamplingParams(grammar='root ::= "a"{99999999999999999999}'), "repeats"),
        (SamplingParams(grammar='root ::= "' + "a" * 70_000 + '"'), "longer"),
        (SamplingParams(grammar='root ::= "a\0"'), "NUL"),
        (SamplingParams(json_schema='{"type": "array", "items": {}, "minItems": 1000000000}'), "repeats"),
        (SamplingParams(json_schema='{"type": "string", "pattern": "^a{1000000000}$"}'), "repeats"),
        (SamplingParams(json_schema="{"), "schema"),
        (SamplingParams(json_schema='{"$ref": "https://example.org/schema"}'), "schema"),
        (SamplingParams(json_schema='{"items":' * 5000 + "{}" + "}" * 5000), "schema"),
        (SamplingParams(logit_bias=((10**6, 1.0),)), "vocabulary"),
    ],
)
def test_what_cannot_be_compiled_is_a_sentence(backend: LlamaBackend, params: SamplingParams, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        backend.open_sampler(A, params, [])
    backend.close_sampler(A)


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=0.0),
        SamplingParams(seed=5),
        SamplingParams(seed=5, temperature=3.0, top_k=200, min_p=0.0, top_p=1.0),
        SamplingParams(seed=5, top_k=3, typical_p=0.5),
        SamplingParams(seed=5, xtc_probability=0.5, xtc_threshold=0.01),
    ],
)
def test_the_likeliest_tokens_give_what_the_whole_vocabulary_gives(
    backend: LlamaBackend, params: SamplingParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    preselected = generate(backend, params)
    monkeypatch.setattr(Sampler, "is_whole", True)

    assert preselected == generate(backend, params)


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=0.0, grammar="root ::= [a-z ]*"),
        SamplingParams(seed=5, temperature=2.0, grammar='root ::= ([0-9] | "x")*'),
    ],
)
def test_a_grammar_gives_the_same_from_the_likeliest_and_from_all_tokens(
    backend: LlamaBackend, params: SamplingParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    preselected = generate(backend, params)
    monkeypatch.setattr(Sampler, "_likeliest", lambda _self, _row: None)

    assert preselected
    assert preselected == generate(backend, params)


@pytest.mark.parametrize("grammar", ["root ::= " + "(" * 20_000 + '"x"' + ")" * 20_000, 'root ::= ("x"{1,50}){1,50}'])
def test_deep_and_repeated_grammars_are_followed(backend: LlamaBackend, grammar: str) -> None:
    assert set(text(backend, SamplingParams(temperature=0.0, grammar=grammar), 5)) == {"x"}


@pytest.mark.parametrize(
    ("grammar", "words"),
    [("root ::= [^\\x00-\\U0010FFFF]", "no token"), ('root ::= [^x] (("a"? "b"? "c"?){200}){200} "a"', "ambiguous")],
)
def test_a_grammar_that_cannot_be_gone_on_with_ends_that_request_alone(
    backend: LlamaBackend, grammar: str, words: str
) -> None:
    backend.open_sampler(A, SamplingParams(temperature=0.0, grammar=grammar), [])
    backend.open_sampler(B, SamplingParams(temperature=0.0), [])
    for seq_id in (0, 1):
        backend.cells.trim(SeqId(seq_id), 0)
    chunks = [Chunk(A, SeqId(0), 0, (TokenId(7),), sample=True), Chunk(B, SeqId(1), 0, (TokenId(7),), sample=True)]
    problems = []
    for _ in range(40):
        failing, going_on = backend.decode(StepPlan(tuple(chunks))).samples
        chunks = [chunks[0].following(failing.token), chunks[1].following(going_on.token)]
        assert going_on.problem is None
        if failing.problem is not None:
            problems.append(failing.problem.text)
            break
    for request_id in (A, B):
        backend.close_sampler(request_id)

    assert words in problems[0]


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=0.0),
        SamplingParams(temperature=0.8, seed=5),
        SamplingParams(temperature=0.8, seed=5, repeat_penalty=2.0),
    ],
)
def test_drawing_on_the_device_gives_the_tokens_of_the_host(backend: LlamaBackend, params: SamplingParams) -> None:
    config = EngineConfig(n_ctx=512, n_ubatch=256, n_threads=1, device_sampling=True)
    on_device = LlamaBackend(LoadSpec(backend.info.path, config), lambda _: None)
    tokens = [generate(on_device, params) for _ in range(2)]
    on_device.close()

    assert tokens[0] == tokens[1] == generate(backend, params)


def test_log_probabilities_add_up_and_name_the_best(backend: LlamaBackend) -> None:
    backend.open_sampler(A, SamplingParams(temperature=0.0, n_logprobs=5), [])
    assert backend.cells.trim(SeqId(0), 0)
    (sample,) = backend.decode(StepPlan((Chunk(A, SeqId(0), 0, (TokenId(7),), sample=True),))).samples
    backend.close_sampler(A)

    assert sample.best[0] == (sample.token, sample.logprob)
    assert len(sample.best) == 5
    assert [logprob for _, logprob in sample.best] == sorted((logprob for _, logprob in sample.best), reverse=True)
    assert all(logprob <= 0 for _, logprob in sample.best)
