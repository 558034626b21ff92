"""Templates for models that come without one."""

from __future__ import annotations

from engine.prompt.template import ChatTemplate

_CHATML_TOKENS = frozenset({"<|im_start|>", "<|im_end|>"})

_CHATML = """\
{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""

_PLAIN = """\
{% for message in messages %}
{% set name = {'user': 'User: ', 'assistant': 'Assistant: '}[message['role']] | default('') %}
{{ name + message['content'] | trim + '\\n\\n' }}
{%- endfor %}
{% if add_generation_prompt %}Assistant:{% endif %}
"""


def fallback_template(special_texts: frozenset[str]) -> ChatTemplate:
    """ChatML if the vocabulary has its tokens, else a plain dialogue with the stop string that it needs.

    Neither writes a BOS token; whether the model wants one is in its vocabulary.
    """
    if special_texts >= _CHATML_TOKENS:
        return ChatTemplate(_CHATML, bos="", eos="", special_texts=special_texts)
    return ChatTemplate(_PLAIN, bos="", eos="", special_texts=special_texts, stop_strings=("\nUser:",))
