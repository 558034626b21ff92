"""Tools, calls, results and reasoning in prompts, in the manner of each family and in plain words."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InvalidRequest
from engine.prompt import ChatTemplate, PromptOptions
from engine.types import ChatMessage, Role, Tool, ToolCall
from tests.doubles.families import NOW, WEATHER
from tests.doubles.templates import CHATML, DEEPSEEK, HARMONY, LLAMA3, MISTRAL, QWEN3

SPECIAL = frozenset(
    {"<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "[INST]", "[/INST]"}
    | {"[TOOL_CALLS]", "[TOOL_RESULTS]", "<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|call|>", "</s>"}
)
FAMILIES = {"qwen3": QWEN3, "llama3": LLAMA3, "mistral": MISTRAL, "deepseek": DEEPSEEK, "harmony": HARMONY}
TEMPLATES = {
    name: ChatTemplate(source, bos="<s>", eos="</s>", special_texts=SPECIAL)
    for name, source in (FAMILIES | {"chatml": CHATML}).items()
}
USER = ChatMessage(Role.USER, "Weather?")
CALL = ToolCall("call_1", "get_weather", '{"city": "Paris"}')
CALLING = ChatMessage(Role.ASSISTANT, "", tool_calls=(CALL,))
RESULT = ChatMessage(Role.TOOL, '{"sky": "clear"}', tool_call_id="call_1")
TOOLS = PromptOptions(tools=(WEATHER, NOW))


def text(name: str, messages: Sequence[ChatMessage], options: PromptOptions = PromptOptions()) -> str:  # noqa: B008
    return "".join(part.text for part in TEMPLATES[name].render(messages, options))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_template_that_knows_tools_shows_them(name: str) -> None:
    assert TEMPLATES[name].traits.knows_tools
    assert '"city"' in text(name, [USER], TOOLS)
    assert "get_weather" in text(name, [USER], TOOLS)
    assert "get_weather" not in text(name, [USER])


@pytest.mark.parametrize("name", FAMILIES)
def test_calls_and_results_are_written_with_arguments_as_an_object(name: str) -> None:
    prompt = text(name, [USER, CALLING, RESULT], TOOLS)

    assert '{"city": "Paris"}' in prompt
    assert "clear" in prompt


def test_which_templates_want_arguments_as_text() -> None:
    assert {name for name, template in TEMPLATES.items() if template.traits.wants_text_arguments} == {"deepseek"}


def test_mistral_gets_ids_of_nine_letters_that_stay_the_same() -> None:
    prompt = text("mistral", [USER, CALLING, RESULT], TOOLS)

    call_id, result_id = re.findall(r'id": "(\w+)"', prompt)
    assert len(call_id) == 9
    assert call_id == result_id
    assert prompt == text("mistral", [USER, CALLING, RESULT], TOOLS)


def test_several_calls_of_a_message_where_a_template_takes_one() -> None:
    second = ToolCall("call_2", "now", "{}")
    calling = ChatMessage(Role.ASSISTANT, "", tool_calls=(CALL, second))
    late = ChatMessage(Role.TOOL, "noon", tool_call_id="call_2")

    prompt = text("llama3", [USER, calling, RESULT, late], TOOLS)

    places = [prompt.index(words) for words in ('{"city": "Paris"}', "clear", '"name": "now", "parameters"', "noon")]
    assert places == sorted(places)


def test_arguments_that_are_no_json_are_still_shown() -> None:
    broken = ChatMessage(Role.ASSISTANT, "", tool_calls=(ToolCall("x", "f", '{"city": "Par'),))

    assert "Par" in text("qwen3", [USER, broken, USER], TOOLS)


def test_reasoning_by_the_names_of_the_families() -> None:
    thought = ChatMessage(Role.ASSISTANT, "Yes.", reasoning="Hm.")

    assert "<think>\nHm.\n</think>\n\nYes." in text("qwen3", [USER, thought, USER])
    calling = ChatMessage(Role.ASSISTANT, "", reasoning="Hm.", tool_calls=(CALL,))
    assert "analysis<|message|>Hm.<|end|>" in text("harmony", [USER, calling, RESULT])


def test_thinking_and_its_effort_reach_the_template() -> None:
    assert text("qwen3", [USER], PromptOptions(thinking=False)).endswith("</think>\n\n")
    assert text("qwen3", [USER]).endswith("assistant\n")
    assert "Reasoning: high" in text("harmony", [USER], PromptOptions(reasoning_effort="high"))


class TestPlainWords:
    def test_a_model_that_knows_no_tools_is_told_in_the_system_message(self) -> None:
        prompt = text("chatml", [ChatMessage(Role.SYSTEM, "Be kind."), USER], TOOLS)

        assert prompt.startswith("<|im_start|>system\nBe kind.\n\nYou can use these tools:")
        assert '{"name": "now", "description": "Tells the time.", "parameters": {"type": "object"' in prompt
        assert prompt.count("<|im_start|>system") == 1

    def test_calls_and_results_are_messages_of_the_usual_roles(self) -> None:
        prompt = text("chatml", [USER, CALLING, RESULT], TOOLS)

        call = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
        assert f"<|im_start|>assistant\n{call}<|im_end|>" in prompt
        assert '<|im_start|>user\n<tool_response>\n{"sky": "clear"}\n</tool_response><|im_end|>' in prompt

    def test_a_history_with_calls_needs_no_tools_to_be_offered(self) -> None:
        assert "<tool_response>" in text("chatml", [USER, CALLING, RESULT])


def control_tokens(name: str, messages: Sequence[ChatMessage], options: PromptOptions) -> list[str]:
    pattern = re.compile("|".join(map(re.escape, sorted(SPECIAL, key=len, reverse=True))))
    parts = TEMPLATES[name].render(messages, options)
    return [found for part in parts if part.special for found in pattern.findall(part.text)]


FRAGMENTS = sorted(SPECIAL) + [token[:n] for token in sorted(SPECIAL) for n in range(1, len(token))]
STRANGE = st.lists(st.sampled_from([*FRAGMENTS, "a", " ", '"', "\\", "\n", "\U000f0000", "|>"]), max_size=5).map(
    "".join
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(TEMPLATES)), st.lists(STRANGE, min_size=8, max_size=8))
def test_what_strangers_write_in_tools_calls_and_results_is_text(name: str, words: list[str]) -> None:
    def conversation(words: Sequence[str]) -> tuple[list[ChatMessage], PromptOptions]:
        schema = {"type": "object", "properties": {f"k{words[0]}": {"type": "string", "description": words[1]}}}
        tool = Tool("f", words[2], json.dumps(schema))
        arguments = json.dumps({f"k{words[3]}": [words[4]]})
        calling = ChatMessage(Role.ASSISTANT, "", words[7], (ToolCall("abcdefghi", "f" + words[5], arguments),))
        result = ChatMessage(Role.TOOL, "r" + words[6], tool_call_id="abcdefghi")
        return [USER, calling, result], PromptOptions(tools=(tool,))

    harmless = ["x" if word else "" for word in words]
    assert control_tokens(name, *conversation(words)) == control_tokens(name, *conversation(harmless))


def test_a_template_that_writes_out_a_dictionary_keeps_control_tokens_text() -> None:
    source = "{{ tools }}{{ tools | tojson(ensure_ascii=True) }}{{ messages[0].content }}"
    template = ChatTemplate(source, bos="", eos="", special_texts=SPECIAL)
    tool = Tool("f", "Say <|im_end|> é\\U000f0000", "{}")

    parts = template.render([USER], PromptOptions(tools=(tool,)))

    assert not any("<|im_end|>" in part.text for part in parts if part.special)
    assert sum("<|im_end|>" in part.text for part in parts) == 2
    assert "\\u00e9" in parts[-1].text


class TestContinuing:
    @pytest.mark.parametrize("name", [name for name in TEMPLATES if name != "harmony"])
    @pytest.mark.parametrize("content", ["The weather is", "So:\n\n  ", "a<|im_end|"])
    def test_the_prompt_ends_where_the_message_does(self, name: str, content: str) -> None:
        messages = [USER, ChatMessage(Role.ASSISTANT, content)]

        prompt = text(name, messages, PromptOptions(continues=True))

        assert prompt.endswith(content)
        assert text(name, messages, PromptOptions()).startswith(prompt.rstrip())

    def test_reasoning_goes_on_where_nothing_else_was_said(self) -> None:
        messages = [USER, ChatMessage(Role.ASSISTANT, "", reasoning="Hm, so")]

        assert text("qwen3", messages, PromptOptions(continues=True)).endswith("<think>\nHm, so")

    def test_a_template_that_leaves_the_message_out(self) -> None:
        template = ChatTemplate("{{ messages[0].content }}", bos="", eos="", special_texts=SPECIAL)
        with pytest.raises(InvalidRequest, match="continued"):
            template.render([USER, ChatMessage(Role.ASSISTANT, "a")], PromptOptions(continues=True))


@pytest.mark.parametrize("parameters", ["{", '{"a":' * 100 + "1" + "}" * 100])
def test_schemas_that_cannot_be_shown(parameters: str) -> None:
    with pytest.raises(InvalidRequest):
        TEMPLATES["qwen3"].render([USER], PromptOptions(tools=(Tool("f", "", parameters),)))
