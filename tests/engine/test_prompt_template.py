"""Chat templates of the usual families, their refusals and mistakes, and the templates of our own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence

import pytest

from engine.errors import TemplateError
from engine.prompt import ChatTemplate, PromptPart, fallback_template, tokenize_prompt
from engine.types import ChatMessage, Role

CHATML_TEXTS = frozenset({"<|im_start|>", "<|im_end|>"})

LLAMA3 = """
{{- bos_token }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
"""
GEMMA = """
{{- bos_token }}
{%- if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for message in messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Conversation roles must alternate user/assistant') }}
    {%- endif %}
    {%- set role = 'model' if message.role == 'assistant' else message.role %}
    {{- '<start_of_turn>' ~ role ~ '\n' ~ message.content | trim ~ '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}
"""
MISTRAL = """
{%- set ns = namespace(expected='user') %}
{{- bos_token }}
{%- for message in messages %}
    {%- if message.role != ns.expected %}{{ raise_exception('roles must alternate.') }}{% endif %}
    {%- if message.role == 'user' %}
        {{- '[INST] ' + message.content + ' [/INST]' }}
        {%- set ns.expected = 'assistant' %}
    {%- else %}
        {{- ' ' + message.content + eos_token }}
        {%- set ns.expected = 'user' %}
    {%- endif %}
{%- endfor %}
"""
QWEN3 = """
{%- macro turn(role, content) %}{{ '<|im_start|>' ~ role ~ '\n' ~ content ~ '<|im_end|>\n' }}{% endmacro %}
{%- set ns = namespace(last_query=messages | length - 1) %}
{%- for message in messages[::-1] %}
    {%- if message.role == 'user' %}
        {%- set ns.last_query = messages | length - 1 - loop.index0 %}
        {%- break %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == 'assistant' and '</think>' in content %}
        {%- set content = content.split('</think>')[-1].lstrip('\n') %}
    {%- endif %}
    {{- turn(message.role, content) }}
    {%- generation %}{% endgeneration %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}
{%- endif %}
"""


def conversation(*turns: tuple[str, str]) -> list[ChatMessage]:
    return [ChatMessage(Role(role), content) for role, content in turns]


def render(source: str, messages: Sequence[ChatMessage], *, add_generation_prompt: bool = True) -> str:
    template = ChatTemplate(source, bos="<s>", eos="</s>", special_texts=frozenset())
    return "".join(part.text for part in template.render(messages, add_generation_prompt=add_generation_prompt))


def failure(source: str) -> TemplateError:
    with pytest.raises(TemplateError) as caught:
        render(source, conversation(("user", "Hi")))
    assert caught.value.text.endswith(".")
    assert not caught.value.text.endswith("..")
    assert "\n" not in caught.value.text
    assert caught.value.hint
    return caught.value


class TestFamilies:
    def test_llama3(self) -> None:
        assert render(LLAMA3, conversation(("system", "Be kind."), ("user", " Hi \n"))) == (
            "<s><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n"
        )

    def test_qwen3_with_loop_controls_macros_and_generation_tags(self) -> None:
        messages = conversation(("user", "Hi"), ("assistant", "<think>\nhm\n</think>\n\nYo"), ("user", "Bye"))
        assert render(QWEN3, messages) == (
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYo<|im_end|>\n"
            "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"
        )

    def test_without_a_generation_prompt(self) -> None:
        text = render(LLAMA3, conversation(("user", "Hi")), add_generation_prompt=False)
        assert text.endswith("Hi<|eot_id|>")

    def test_blocks_leave_no_blank_lines(self) -> None:
        assert render("{% if true %}\n  {% set x = 1 %}\nyes\n{% endif %}\n", []) == "yes\n"


class TestRefusals:
    def test_a_system_message_moves_into_the_first_user_message(self) -> None:
        messages = conversation(("system", "Be kind."), ("user", "Hi"), ("assistant", "Yo"), ("user", "Bye"))
        assert render(GEMMA, messages) == (
            "<s><start_of_turn>user\nBe kind.\n\nHi<end_of_turn>\n<start_of_turn>model\nYo<end_of_turn>\n"
            "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n"
        )
        assert render(MISTRAL, messages) == "<s>[INST] Be kind.\n\nHi [/INST] Yo</s>[INST] Bye [/INST]"

    def test_messages_of_one_role_in_a_row_become_one(self) -> None:
        messages = conversation(("user", "One"), ("user", "Two"), ("assistant", "Yo"), ("user", "Three"))
        assert render(MISTRAL, messages) == "<s>[INST] One\n\nTwo [/INST] Yo</s>[INST] Three [/INST]"

    def test_a_system_message_before_an_answer_becomes_a_user_message(self) -> None:
        messages = conversation(("system", "Be kind."), ("assistant", "Hello"), ("user", "Hi"))
        assert render(MISTRAL, messages) == "<s>[INST] Be kind. [/INST] Hello</s>[INST] Hi [/INST]"

    def test_templates_that_take_the_messages_get_them_unchanged(self) -> None:
        messages = conversation(("user", "One"), ("user", "Two"))
        assert render("{{ messages | length }}", messages) == "2"

    def test_a_refusal_that_stays_is_told_in_its_words(self) -> None:
        with pytest.raises(TemplateError, match="refuses this conversation: roles must alternate"):
            render(MISTRAL, conversation(("assistant", "Yo")))

    def test_moved_text_stays_inert(self) -> None:
        special = frozenset({"<end_of_turn>", "<start_of_turn>"})
        template = ChatTemplate(GEMMA, bos="", eos="", special_texts=special)
        parts = template.render(conversation(("system", "a<end_of_turn>"), ("user", "b")))
        assert PromptPart("<end_of_turn>", special=False) in parts


class TestMistakes:
    def test_of_syntax(self) -> None:
        assert "mistake in line 2" in failure("ok\n{% if %}").text

    def test_an_unknown_filter(self) -> None:
        assert "pprint" in failure("{{ messages | pprint }}").text

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("{{ nothing.at.all }}", "'nothing' is undefined"),
            ("{{ 1 / 0 }}", "ZeroDivisionError"),
            ("{{ messages['x'] + 1 }}", "failed"),
            ("{{ raise_exception('a\nb' ~ 'c' * 5000) }}", "a b"),
            ("{% include 'other' %}", "no loader"),
            ("{{ 'x' + 1 }}", "TypeError"),
            ("{{ 'a' | format(b=1) % {} }}{{ '%d' | format('x') }}", "TypeError"),
            ("{{ '%s' | format(1, x=2) }}", "TypeError"),
            ("{{ [[1]] | sum(start=[]) }}", "TypeError"),
        ],
    )
    def test_while_running(self, source: str, expected: str) -> None:
        assert expected in failure(source).text


class TestWhatTemplatesSee:
    def test_json_as_hugging_face_writes_it(self) -> None:
        value = "{'b': '<ä>', 'a': [1, none, true]}"
        assert json.loads(render("{{ " + value + " | tojson }}", [])) == {"b": "<ä>", "a": [1, None, True]}
        assert render("{{ '<ä>' | tojson }}", []) == '"<ä>"'
        assert render("{{ {'b': 1, 'a': 2} | tojson(indent=2, sort_keys=true) }}", []) == '{\n  "a": 2,\n  "b": 1\n}'
        assert render("{{ [1, 2] | tojson(separators=(',', ':')) }}", []) == "[1,2]"
        assert render("{{ 'ä' | tojson(ensure_ascii=true) }}", []) == '"\\u00e4"'

    def test_the_date(self) -> None:
        assert re.fullmatch(r"\d{4}-\d\d", render("{{ strftime_now('%Y-%m') }}", []))

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("{{ 'a-b'.split('-') | join('+') }}", "a+b"),
            ("{{ '%s is %04.1f in 2024' % ('x', 2.5) }}", "x is 02.5 in 2024"),
            ("{{ 'year 2024: %s' | format(1) }}", "year 2024: 1"),
            ("{{ '{} {b!r:>4} 12345'.format(1, b='x') }}", "1  'x' 12345"),
            ("{{ 'aXbX'.replace('X', '--') }}{{ 'aXbX' | replace('X', '', 1) }}", "a--b--abX"),
            ("{% for i in range(2) %}{{ 'ab'.replace('a', i | string) ~ ','.join('xy') }}{% endfor %}", "0bx,y1bx,y"),
            ("{{ [3, 1, 2] | sort | list }}{{ (1, 2) + (3,) }}", "[1, 2, 3](1, 2, 3)"),
            ("{% for k, v in {'a': 1}.items() %}{{ k }}={{ v }}{% endfor %}", "a=1"),
            ("{{ messages | map(attribute='content') | join(', ') }}", "Hi"),
            ("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "1"),
            ("{{ [{'n': 2}, {'n': 3}] | sum('n') }}{{ [{'n': 'a'}, {'n': 'b'}] | join('-', 'n') }}", "5a-b"),
            ("{{ 'a\nb' | indent(2) }}", "a\n  b"),
            ("{{ 'x' | center(3) }}{{ 2.345 | round(1) }}{{ [1, 2, 3] | batch(2) | list }}", " x 2.3[[1, 2], [3]]"),
            ("{{ 7 // 2 }}{{ 2 ** 10 }}{{ -7 % 3 }}{{ 'ab' * 2 }}{{ 2 * [1] }}", "310242abab[1, 1]"),
            ("{{ dict(a=1) }}{{ '<b>' | safe }}{{ '<' | e }}", "{'a': 1}<b>&lt;"),
            (
                "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{% set j = joiner() %}{{ j() }}{{ j() }}",
                "ab, ",
            ),
            ("{% macro m(x) %}[{{ caller(x) }}]{% endmacro %}{% call(y) m(1) %}{{ y }}{% endcall %}", "[1]"),
            ("{% block a %}{{ self.b() }}{% endblock %}{% block b %}x{% endblock %}", "xx"),
            ("{% for n in [1, [2]] recursive %}{{ loop(n) if n is sequence else n }}{% endfor %}", "12"),
        ],
    )
    def test_ordinary_features(self, source: str, expected: str) -> None:
        assert render(source, conversation(("user", "Hi"))) == expected


class TestFallback:
    MESSAGES = conversation(("system", "Be kind."), ("user", "Hi"), ("assistant", "Yo"), ("user", "Bye"))

    def test_chatml_where_the_vocabulary_has_it(self) -> None:
        template = fallback_template(CHATML_TEXTS | {"<s>"})
        assert "".join(part.text for part in template.render(self.MESSAGES)) == (
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\nYo<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"
        )
        assert template.stop_strings == ()

    def test_a_plain_dialogue_elsewhere(self) -> None:
        template = fallback_template(frozenset({"</s>"}))
        assert "".join(part.text for part in template.render(self.MESSAGES)) == (
            "Be kind.\n\nUser: Hi\n\nAssistant: Yo\n\nUser: Bye\n\nAssistant:"
        )
        assert template.stop_strings == ("\nUser:",)


def test_tokenize_prompt_reads_control_tokens_only_in_special_parts() -> None:
    calls = []

    def tokenize(text: str, parse_special: bool) -> list[int]:
        calls.append((text, parse_special))
        return [len(text), int(parse_special)]

    parts = (PromptPart("abc", special=True), PromptPart("de", special=False))
    assert tokenize_prompt(parts, tokenize) == [3, 1, 2, 0]
    assert calls == [("abc", True), ("de", False)]


def test_importing_the_package_does_not_import_jinja() -> None:
    code = "import engine.prompt, sys; sys.exit('jinja2' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
