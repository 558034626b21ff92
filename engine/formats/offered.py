"""The tools that a request offers, as parsers and grammars need to see them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import InvalidRequest
from engine.types import Tool

MAX_TOOLS = 512
MAX_SCHEMA_CHARS = 262_144
MAX_DEPTH = 64


class Offered:
    """Raises InvalidRequest for tools that cannot be offered."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        if len(tools) > MAX_TOOLS:
            raise InvalidRequest(f"A request may offer {MAX_TOOLS} tools, not {len(tools):,}.")
        self.schemas: dict[str, Mapping[str, Any]] = {}
        for tool in tools:
            _check_name(tool.name)
            if tool.name in self.schemas:
                raise InvalidRequest(f"Two tools are named {tool.name}.")
            self.schemas[tool.name] = _read_schema(tool)

    def __contains__(self, name: str) -> bool:
        return name in self.schemas

    def __bool__(self) -> bool:
        return bool(self.schemas)

    def only(self, name: str) -> Offered:
        """That one tool of them."""
        one = Offered(())
        one.schemas = {name: self.schemas[name]}
        return one

    def types(self, name: str, parameter: str) -> frozenset[str]:
        """The JSON types that a parameter may have; empty where nothing is said."""
        properties = self.schemas.get(name, {}).get("properties")
        schema = properties.get(parameter) if isinstance(properties, dict) else None
        return _types(schema) if isinstance(schema, dict) else frozenset()


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    kind = schema.get("type")
    if isinstance(kind, str):
        return frozenset({kind})
    if isinstance(kind, list):
        return frozenset(entry for entry in kind if isinstance(entry, str))
    choices = schema.get("anyOf", schema.get("oneOf"))
    if isinstance(choices, list):
        return frozenset().union(*(_types(choice) for choice in choices if isinstance(choice, dict)))
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return frozenset("string" if isinstance(value, str) else "value" for value in values)


def _check_name(name: str) -> None:
    if not 0 < len(name) <= 256 or not name.isprintable() or any(letter in name for letter in " \"'<>{}[]()\\"):
        raise InvalidRequest("A tool needs a name of at most 256 characters without spaces, quotes and brackets.")


def _read_schema(tool: Tool) -> Mapping[str, Any]:
    if len(tool.parameters) > MAX_SCHEMA_CHARS:
        raise InvalidRequest(f"The parameters of {tool.name} are longer than {MAX_SCHEMA_CHARS:,} characters.")
    schema = parse_json(tool.parameters or "{}", f"The parameters of {tool.name}")
    if not isinstance(schema, dict):
        raise InvalidRequest(f"The parameters of {tool.name} must be a JSON schema, that is an object.")
    return schema


def parse_json(text: str, what: str) -> Any:
    """JSON by strangers, not nested deeper than MAX_DEPTH. Raises InvalidRequest; ``what`` begins its sentence."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{what} are not valid JSON.") from error
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise InvalidRequest(f"{what} are nested more than {MAX_DEPTH} deep.")
        level = [child for item in level for child in _children(item)]
    return value


def _children(item: Any) -> list[Any]:
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else []
