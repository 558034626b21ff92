"""Hostile templates: none escapes, none takes seconds beyond its budget or gigabytes, each ends in one sentence."""

from __future__ import annotations

import tracemalloc

import pytest

from engine.errors import TemplateError
from engine.prompt import Budget, ChatTemplate
from engine.types import ChatMessage, Role

GENEROUS = Budget(time_s=60, memory_bytes=2**40, max_chars=1_000_000)
"""Time and memory will not stop a template, only what the sandbox itself refuses."""
MESSAGES = [ChatMessage(Role.USER, "Hi")]


def render(source: str, budget: Budget = GENEROUS) -> str:
    template = ChatTemplate(source, bos="", eos="", special_texts=frozenset(), budget=budget)
    return "".join(part.text for part in template.render(MESSAGES))


def failure(source: str, budget: Budget = GENEROUS) -> str:
    with pytest.raises(TemplateError) as caught:
        render(source, budget)
    assert caught.value.text.endswith(".")
    return caught.value.text


ESCAPES = {
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals of a helper": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "globals of ours": "{{ raise_exception.__globals__['json'] }}",
    "self": "{{ self.__init__.__globals__ }}",
    "self's context": "{{ self._TemplateReference__context.environment }}",
    "a method's object": "{{ 'a'.upper.__self__.join([]) }}",
    "the attr filter": "{{ (messages | attr('__class__')).mro() }}",
    "an escaped name": "{{ ''['\\x5f\\x5fclass\\x5f\\x5f'].mro() }}",
    "a map": "{{ [''] | map(attribute='__class__') | map(attribute='mro') | list | first | first }}",
    "format": "{{ '{0.__class__.__mro__}'.format(1) }}",
    "format kept for later": "{% set f = '{0.__class__.__mro__}'.format %}{{ f(1) }}",
    "format_map": "{{ '{a.__class__.__mro__}'.format_map({'a': 1}) }}",
    "a generator's frame": "{{ (messages | map('upper')).gi_frame.f_globals }}",
    "a type": "{{ namespace.mro() }}",
    "a file": "{% include '/etc/passwd' %}",
    "a module": "{% import 'os' as os %}{{ os.getcwd() }}",
    "changing the messages": "{{ messages.append(1) }}",
    "changing a dict": "{{ messages[0].update({'role': 'system'}) }}",
    "bytes": "{{ 'a'.encode() }}",
}

BIG = "{% set big = 'x' * 900000 %}"
NAMESPACES = "".join(f"{{% set n{i} = namespace() %}}" for i in range(13)) + "".join(
    f"{{% set n{i}.x = [{', '.join([f'n{i + 1}'] * 10)}] %}}" for i in range(12)
)
HEAVY = {
    "repetition": "{{ 'a' * 2000000000 }}",
    "repetition the other way round": "{{ 2000000000 * 'a' }}",
    "repetition of a list": "{{ ([0] * 2000000000) | length }}",
    "repetition of a tuple": "{{ ((0,) * 2000000000) | length }}",
    "center": "{{ 'a' | center(3000000000) }}",
    "center by name": "{{ 'a' | center(width=3000000000) }}",
    "method center": "{{ 'a'.center(3000000000) }}",
    "method ljust": "{{ 'a'.ljust(3000000000) }}",
    "method rjust": "{{ 'a'.rjust(3000000000) }}",
    "method zfill": "{{ 'a'.zfill(3000000000) }}",
    "method expandtabs": "{{ '\\t'.expandtabs(3000000000) }}",
    "method translate": BIG + "{{ 'aaaa'.translate({97: big}) }}",
    "percent width": "{{ '%2000000000d' | format(1) }}",
    "percent operator": "{{ '%2000000000d' % 1 }}",
    "percent star": "{{ '%*d' % (2000000000, 1) }}",
    "percent precision": "{{ '%.2000000000f' % 1.5 }}",
    "percent repeated": BIG + "{{ ('%(a)s' * 1000) | format(a=big) }}",
    "format width": "{{ '{:2000000000}'.format(1) }}",
    "format nested width": "{{ '{:{}}'.format(1, 2000000000) }}",
    "format repeated": BIG + "{{ ('{0}' * 1000).format(big) }}",
    "power": "{{ 10 ** 1000000000 }}",
    "power of power": "{{ 2 ** (2 ** 40) }}",
    "squares": "{% set n = namespace(x=3) %}{% for i in range(60) %}{% set n.x = n.x * n.x %}{% endfor %}{{ n.x }}",
    "division of huge numbers": "{{ ('f' * 900000) | int(base=16) // ('f' * 400000) | int(base=16) }}",
    "range": "{% for i in range(10000000000) %}{% endfor %}",
    "doubling with ~": "{% set n = namespace(x='ab') %}{% for i in range(64) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "doubling with +": "{% set n = namespace(x='ab') %}{% for i in range(64) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "doubling with set blocks": "{% set x = 'abcd' %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 40,
    "doubling in a macro": "{% macro m(n) %}{{ 'x' * 700000 }}{{ 'x' * 700000 }}{% endmacro %}{{ m(1) | length }}",
    "doubling in a filter block": "{% filter upper %}{{ 'x' * 700000 }}{{ 'x' * 700000 }}{% endfilter %}",
    "replace": BIG + "{{ big.replace('x', big) }}",
    "replace filter": BIG + "{{ big | replace('x', big) }}",
    "join": BIG + "{{ big.join(big) }}",
    "join filter": BIG + "{{ big | join(big) }}",
    "join of a generator": BIG + "{{ range(99999) | map('replace', '', big) | join }}",
    "indent": "{{ ('\n' * 900000) | indent(100000) }}",
    "indent by text": BIG + "{{ '\n\n\n' | indent(big) }}",
    "nested lists": "{% set a = ['lol'] %}" + "{% set a = [a, a, a, a, a, a, a, a, a, a] %}" * 12 + "{{ a }}",
    "nested tuples": "{% set a = ('lol',) %}" + "{% set a = (a, a, a, a, a, a, a, a, a, a) %}" * 12 + "{{ a }}",
    "nested dicts": "{% set a = {} %}" + "{% set a = {1: a, 2: a, 3: a, 4: a, 5: a, 6: a} %}" * 20 + "{{ a }}",
    "nested by addition": "{% set a = ['lol'] %}" + "{% set a = [a + a] + [a + a] + [a + a] %}" * 20 + "{{ a }}",
    "nested by a call": "{% set a = 'lol' %}" + "{% set a = dict(a=a, b=a, c=a, d=a) %}" * 20 + "{{ a }}",
    "nested namespaces": NAMESPACES + "{{ n0 }}",
    "a namespace in itself": "{% set n = namespace() %}{% set n.x = n %}{{ n }}",
    "JSON indent": "{{ [1] | tojson(indent=1000000000) }}",
    "JSON separators": BIG + "{{ [1, 2, 3, 4] | tojson(separators=(big, big)) }}",
    "batch": "{{ [1] | batch(10000000000, 'x') | list }}",
    "round": "{{ 1 | round(1000000000, 'ceil') }}",
    "a list of letters": BIG + "{{ big | list | length }}",
    "split": "{{ ('a ' * 400000).split() | length }}",
    "to_bytes": "{{ (1).to_bytes(9999999999, 'big') }}",
    "output": "{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}",
    "its own length": "x" * 300_000,
}

DEEP = {
    "macro without end": "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
    "block without end": "{% block a %}{{ self.a() }}{% endblock %}",
    "loop without end": "{% for i in [[1]] recursive %}{{ loop([i]) }}{% endfor %}",
    "parentheses": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "sums": "{{ " + "1+" * 20000 + "1 }}",
    "nested loops": "{% for a in [1] %}" * 60 + "{% endfor %}" * 60,
    "nested conditions": "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    "a number of 20,000 digits": "{{ " + "9" * 20000 + " }}",
}

ENDLESS = {
    "loops in loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "macros": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(100) }}",
    "filters": "{% for a in range(99999) %}{{ range(9999) | map('string') | list | length and '' }}{% endfor %}",
    "undefined names": "{% for a in range(99999) %}{% for b in range(99999) %}{{ x | default('') }}{% endfor %}"
    "{% endfor %}",
}


class TestHostileTemplates:
    @pytest.mark.parametrize("name", ESCAPES)
    def test_does_not_escape(self, name: str) -> None:
        assert "failed" in failure(ESCAPES[name])

    @pytest.mark.parametrize("name", HEAVY)
    def test_makes_nothing_heavy(self, name: str) -> None:
        tracemalloc.start()
        try:
            failure(HEAVY[name])
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak_bytes < 256 * 2**20

    @pytest.mark.parametrize("name", DEEP)
    def test_depth_is_an_error_like_any_other(self, name: str) -> None:
        assert "failed" in failure(DEEP[name])

    @pytest.mark.parametrize("name", ENDLESS)
    def test_endless_work_is_stopped(self, name: str) -> None:
        assert "ran for longer than 0.3 s" in failure(ENDLESS[name], Budget(time_s=0.3))

    def test_hoarding_memory_is_stopped(self) -> None:
        source = (
            "{% macro m(n) %}{% set x = 'a' * 7000000 ~ n %}{% if n %}{{ m(n - 1) }}{% endif %}{{ x[0] }}{% endmacro %}"
            "{% for i in range(99999) %}{{ m(150) }}{% endfor %}"
        )
        budget = Budget(time_s=60, memory_bytes=48 * 2**20, max_chars=8_000_000)
        assert "48 MB of memory" in failure(source, budget)

    def test_harmless_looks_at_forbidden_things_give_nothing(self) -> None:
        assert render("{{ messages | attr('__class__') }}{{ ''.__class__ }}{{ range.__self__ }}") == ""
