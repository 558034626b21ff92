"""JSON schemas as rules of GBNF, llama.cpp's grammar format.

What a grammar can say of a schema is said: types, properties in their order, required ones, items, enumerations,
references and alternatives. Patterns, formats and ranges of numbers are not; a model that was shown the schema knows
of them. The rules are made so that llama.cpp compiles them cheaply: no counted repetition, and one rule for each part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from engine.errors import InvalidRequest

MAX_RULES = 4_000
MAX_REFERENCES = 64
MAX_COUNTED = 64
"""Items or letters that are counted one by one; above that a maximum is not enforced."""

_BASE_RULES = {
    "gap": '" "?',
    "value": "object | array | string | number | boolean | null",
    "object": '"{" gap ( member ( "," gap member )* )? "}"',
    "member": 'string gap ":" gap value',
    "array": '"[" gap ( value ( "," gap value )* )? "]"',
    "string": r'"\"" char* "\""',
    "char": r'[^"\\\x00-\x1F\x7F] | "\\" ( ["\\/bfnrt] | "u" hex hex hex hex )',
    "hex": "[0-9a-fA-F]",
    "number": 'integer ( "." [0-9]+ )? ( [eE] [-+]? [0-9]+ )?',
    "integer": '"-"? ( "0" | [1-9] [0-9]* )',
    "boolean": '"true" | "false"',
    "null": '"null"',
}
_ESCAPES = {"\n": r"\n", "\r": r"\r", "\t": r"\t", '"': r"\"", "\\": r"\\"}
_UNSAFE_IN_CLASS = re.compile(r"[\\\]\[^-]")


def quoted(text: str) -> str:
    """Text as a literal of GBNF."""
    letters = (_ESCAPES.get(letter) or (letter if letter >= " " else f"\\x{ord(letter):02X}") for letter in text)
    return '"' + "".join(letters) + '"'


class Rules:
    """Collects rules. All methods that make some raise InvalidRequest where there are too many."""

    def __init__(self) -> None:
        self._rules = dict(_BASE_RULES)
        self._n_made = 0

    def add(self, body: str) -> str:
        name = self.reserve()
        self._rules[name] = body
        return name

    def reserve(self) -> str:
        """A name whose rule is set later, by :meth:`define`."""
        self._n_made += 1
        if self._n_made > MAX_RULES:
            raise InvalidRequest("The schemas of the tools are too large for a grammar.")
        return f"r{self._n_made}"

    def define(self, name: str, body: str) -> None:
        self._rules[name] = body

    def text(self, root: str) -> str:
        """The whole grammar, with the rules that it needs and no others."""
        rules, waiting = {"root": root}, [root]
        while waiting:
            for name in _NAME.findall(_LITERAL.sub(" ", waiting.pop())):
                if name not in rules:
                    rules[name] = self._rules[name]
                    waiting.append(rules[name])
        return "\n".join(f"{name} ::= {body}" for name, body in rules.items())

    def until(self, marker: str) -> str:
        """Any text up to and with ``marker``, which is not in it (the automaton of Knuth, Morris and Pratt)."""
        names = [self.reserve() for _ in marker]
        letters = sorted(set(marker))
        others = "[^" + "".join(map(_in_class, letters)) + "]"
        for n_read, name in enumerate(names):
            choices = [f"{others} {names[0]}"]
            for letter in letters:
                n_next = _overlap(marker[:n_read] + letter, marker)
                choices.append(quoted(letter) + (f" {names[n_next]}" if n_next < len(marker) else ""))
            self.define(name, " | ".join(choices))
        return names[0]


_NAME = re.compile(r"[a-z][a-z0-9]*")
_LITERAL = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]')


def _in_class(letter: str) -> str:
    return _ESCAPES.get(letter) or (f"\\{letter}" if _UNSAFE_IN_CLASS.match(letter) else letter)


def _overlap(text: str, marker: str) -> int:
    """The length of the longest end of ``text`` with which ``marker`` begins."""
    return next(n for n in range(min(len(text), len(marker)), -1, -1) if text.endswith(marker[:n]))


class SchemaRules:
    """Makes the rules of one schema, to which its references belong."""

    def __init__(self, rules: Rules, schema: Mapping[str, Any]) -> None:
        self._rules = rules
        self._schema = schema
        self._references: dict[str, str] = {}
        self._keywords: dict[str, Callable[[Any, dict[str, Any]], str]] = {
            "$ref": lambda reference, _: self._reference(reference),
            "const": lambda value, _: self._constants([value]),
            "enum": lambda values, _: self._constants(values),
            "anyOf": lambda choices, _: self._one_of(choices),
            "oneOf": lambda choices, _: self._one_of(choices),
            "allOf": lambda parts, schema: self._all_of(parts, schema),
        }
        self._types: dict[str, Callable[[dict[str, Any]], str]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
        }

    def rule(self, schema: object) -> str:
        """The name of a rule for a schema, or for a part of the schema that this was made for."""
        if not isinstance(schema, dict):
            return "value"
        for keyword, make in self._keywords.items():
            if keyword in schema:
                return make(schema[keyword], schema)
        kind = schema.get("type") or _guessed_type(schema)
        if isinstance(kind, list):
            return self._one_of([{**schema, "type": entry} for entry in kind])
        if kind in self._types:
            return self._types[kind](schema)
        return kind if isinstance(kind, str) and kind in _BASE_RULES else "value"

    def properties(self, schema: Mapping[str, Any]) -> list[tuple[str, object, bool]]:
        """Name, schema and whether it is required, of each property."""
        properties = schema.get("properties")
        required = schema.get("required")
        wanted = required if isinstance(required, list) else []
        items = properties.items() if isinstance(properties, dict) else ()
        return [(name, part, name in wanted) for name, part in items]

    def _reference(self, reference: object) -> str:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise InvalidRequest("A JSON schema may refer to parts of itself only.")
        known = self._references.get(reference)
        if known is None:
            known = self._references[reference] = self._rules.reserve()
            self._rules.define(known, self.rule(self._find(reference)))
        return known

    def _find(self, reference: str) -> object:
        part: Any = self._schema
        for key in reference.removeprefix("#").split("/")[1:]:
            key = key.replace("~1", "/").replace("~0", "~")
            if not isinstance(part, dict) or key not in part:
                raise InvalidRequest(f"The JSON schema refers to {reference[:100]}, which is not in it.")
            part = part[key]
        return part

    def _constants(self, values: object) -> str:
        if not isinstance(values, list) or not values:
            raise InvalidRequest("An enumeration of a JSON schema needs at least one value.")
        return self._rules.add(" | ".join(quoted(json.dumps(value, ensure_ascii=False)) for value in values))

    def _one_of(self, choices: object) -> str:
        if not isinstance(choices, list) or not choices:
            raise InvalidRequest("Alternatives of a JSON schema need at least one entry.")
        return self._rules.add(" | ".join(self.rule(choice) for choice in choices))

    def _all_of(self, parts: object, schema: dict[str, Any]) -> str:
        """Objects are joined; of anything else the first part counts."""
        found = [self._resolved(part) for part in parts] if isinstance(parts, list) else []
        rest = {key: value for key, value in schema.items() if key != "allOf"}
        joined = [part for part in (*found, rest) if isinstance(part.get("properties"), dict)]
        if not joined:
            return self.rule(found[0] if found else rest)
        properties = {name: value for part in joined for name, value in part["properties"].items()}
        required = [name for part in joined for name in part.get("required") or []]
        return self._object({"properties": properties, "required": required})

    def _resolved(self, schema: object) -> dict[str, Any]:
        for _ in range(MAX_REFERENCES):
            if not isinstance(schema, dict):
                break
            if not isinstance(schema.get("$ref"), str):
                return schema
            schema = self._find(schema["$ref"])
        return {}

    def _object(self, schema: dict[str, Any]) -> str:
        """Properties in their order. Others only where the schema asks for them."""
        properties = self.properties(schema)
        others = schema.get("additionalProperties", "properties" not in schema)
        if not properties and others in (True, None):
            return "object"
        members = [(self._member(name, part), is_required) for name, part, is_required in properties]
        rest = ""
        if others is not False:
            value = self.rule(others)
            rest = self._rules.add(f'string gap ":" gap {value}')
        return self._rules.add(f'"{{" gap {self.members(members, rest)} "}}"')

    def _member(self, name: str, part: object) -> str:
        return self._rules.add(f'{quoted(json.dumps(name, ensure_ascii=False))} gap ":" gap {self.rule(part)}')

    def members(self, members: list[tuple[str, bool]], rest: str = "") -> str:
        """Members, each with whether it is required, and then any number of ``rest``, with commas between them.

        Two chains of rules, from the last property to the first: where none was written yet, and where one was.
        """
        later = self._rules.add(f'( "," gap {rest} )*' if rest else '""')
        first = self._rules.add(f"( {rest} {later} )?" if rest else '""')
        for member, is_required in reversed(members):
            begun = f"{member} {later}"
            first = self._rules.add(begun if is_required else f"{begun} | {first}")
            following = f'"," gap {member}'
            later = self._rules.add(f"{following} {later}" if is_required else f"( {following} )? {later}")
        return first

    def _array(self, schema: dict[str, Any]) -> str:
        fixed = schema.get("prefixItems")
        if isinstance(fixed, list) and fixed:
            return self._rules.add('"[" gap ' + ' "," gap '.join(self.rule(part) for part in fixed) + ' "]"')
        item = self.rule(schema.get("items", True))
        items = self._counted(item, _count(schema, "minItems"), _count(schema, "maxItems"), '"," gap ')
        return self._rules.add(f'"[" gap {items} "]"')

    def _string(self, schema: dict[str, Any]) -> str:
        low, high = _count(schema, "minLength"), _count(schema, "maxLength")
        if not low and (high is None or high > MAX_COUNTED):
            return "string"
        letters = self._counted("char", low, high, "")
        return self._rules.add(f'"\\"" {letters} "\\""')

    def _counted(self, item: str, low: int | None, high: int | None, between: str) -> str:
        """So many items, as a chain of rules from the last one to the first."""
        low = low or 0
        if low > MAX_COUNTED:
            raise InvalidRequest(f"A JSON schema may ask for {MAX_COUNTED} items or letters at least, not {low:,}.")
        is_open = high is None or high > MAX_COUNTED
        last = low if high is None or high > MAX_COUNTED else max(high, low)
        rest = self._rules.add(f"( {between}{item} )*" if is_open else '""')
        for number in range(last, 1, -1):
            step = f"{between}{item} {rest}"
            rest = self._rules.add(step if number <= low else f"( {step} )?")
        if not last and not is_open:
            return rest
        return self._rules.add(f"{item} {rest}" if low else f"( {item} {rest} )?")


def _guessed_type(schema: Mapping[str, Any]) -> str:
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else ""


def _count(schema: Mapping[str, Any], key: str) -> int | None:
    value = schema.get(key)
    return value if isinstance(value, int) and value >= 0 else None
