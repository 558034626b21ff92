"""Answers of every family: what they are made of, wherever they are split."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.formats import Format, Offered, Text, families, open_stream
from engine.types import ToolCallPart
from tests.doubles.families import ANSWERS, THINK, TOOLS, Answer, parse


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_comes_apart(name: str) -> None:
    answer = ANSWERS[name]

    pieces, n_complete = parse(answer, [answer.text])

    calls = [piece for piece in answer.pieces if isinstance(piece, ToolCallPart)]
    assert tuple(pieces) == answer.pieces
    assert n_complete == (len(calls) if answer.n_complete < 0 else answer.n_complete)
    if answer.n_complete < 0:
        assert all(isinstance(json.loads(call.arguments), dict) for call in calls)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(ANSWERS)), st.data())
def test_it_does_not_matter_where_an_answer_is_split(name: str, data: st.DataObject) -> None:
    answer = ANSWERS[name]
    cuts = sorted(data.draw(st.sets(st.integers(0, len(answer.text)))))
    parts = [answer.text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(answer.text)], strict=True)]

    assert parse(answer, parts) == parse(answer, list(answer.text)) == parse(answer, [answer.text])


_FORMS = sorted(
    {id(answer.form): answer.form for answer in ANSWERS.values()}.values(), key=lambda form: form.calls.name
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(_FORMS), st.booleans(), st.data())
def test_nor_does_it_in_nonsense(form: Format, in_reasoning: bool, data: st.DataObject) -> None:
    """Markers, beginnings of markers, JSON and words in any order."""
    words = [*form.markers, "{", "}", '"', "name", '{"name": "now"', ', "arguments": {', "[", "now(", ")", ",", "a=1"]
    words += ["call:now{", "a:", "<", "\n", " ", "x", "```json\n", "function", "functions.now", " to="]
    fragment = st.sampled_from(words).flatmap(lambda word: st.integers(1, len(word)).map(lambda n: word[:n]))
    text = "".join(data.draw(st.lists(st.sampled_from(words) | fragment, max_size=14)))
    answer = Answer(form, text, (), in_reasoning)

    assert parse(answer, list(text)) == parse(answer, [text])


def test_arguments_stream_as_they_come() -> None:
    stream = open_stream(Format(families.HERMES), TOOLS)
    assert stream is not None

    begun = stream.push('<tool_call>{"name": "get_weather", "arguments": {"city": "Pa')
    more = stream.push("ris")

    assert [(piece.name, piece.arguments) for piece in begun if isinstance(piece, ToolCallPart)] == [
        ("get_weather", ""),
        ("", '{"city": "Pa'),
    ]
    assert more == [ToolCallPart(0, arguments="ris")]


def test_ids_differ_from_call_to_call() -> None:
    stream = open_stream(Format(families.HERMES), TOOLS)
    assert stream is not None

    pieces = stream.push('<tool_call>{"name": "now"}</tool_call>' * 2)

    ids = [piece.id for piece in pieces if isinstance(piece, ToolCallPart) and piece.id]
    assert len(set(ids)) == 2


def test_without_tools_a_call_is_text() -> None:
    text = 'Write <tool_call>{"name": "now"}</tool_call>  \n'

    pieces, _ = parse(Answer(Format(families.HERMES, THINK), text, ()), [text], Offered(()))

    assert pieces == [Text(text)]


def test_where_there_is_nothing_to_find_nothing_looks() -> None:
    assert open_stream(Format(families.PLAIN), Offered(())) is None


def test_what_follows_a_call_for_somebody_else_ends_the_answer() -> None:
    stream = open_stream(ANSWERS["functiongemma"].form, TOOLS)
    assert stream is not None

    stream.push(ANSWERS["functiongemma"].text)

    assert stream.is_over


def test_white_space_in_a_text_is_kept() -> None:
    text = "  a\n\n  b  \n"

    assert parse(Answer(Format(families.HERMES), text, ()), list(text))[0] == [Text(text)]


def test_a_long_answer_of_beginnings_takes_linear_time() -> None:
    text = "<tool_call>{" * 20_000

    assert parse(Answer(Format(families.HERMES), text, ()), [text[i : i + 8] for i in range(0, len(text), 8)])[0] == [
        Text(text)
    ]
