"""The OpenAPI document: what each endpoint takes and gives, from the very types that decode and encode it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from app.api.endpoint import Endpoint
from app.api.guard import OPEN_PATHS

_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")
_JSON = "application/json"
_ALWAYS = {"401": "The key is missing or wrong.", "403": "The Host or Origin is not one that may call this server."}
_WITH_PARAMETER = {"404": "There is nothing of this name."}
_WITH_BODY = {
    "400": "The request is wrong; the error says what.",
    "404": "There is no such model.",
    "408": "The body did not arrive in time.",
    "413": "The body is too long.",
    "415": "The body is not JSON.",
    "500": "Something went wrong inside.",
    "503": "No model is ready, or there is too much to do; trying again may help.",
}


def document(endpoints: Sequence[Endpoint], version: str) -> bytes:
    """OpenAPI 3.1, as JSON."""
    types = list(dict.fromkeys(kind for endpoint in endpoints for kind in _types(endpoint)))
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    known = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        path = _PARAMETER.sub(r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, known)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Hearth",
                "version": version,
                "description": "Language models on this machine, as clients of OpenAI, Anthropic and Ollama expect.",
            },
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                },
            },
            "security": [{"bearer": []}, {"key": []}],
        }
    )


def _types(endpoint: Endpoint) -> list[Any]:
    kinds = (endpoint.body, endpoint.answer, endpoint.event, endpoint.error)
    return [kind for kind in kinds if kind is not None]


def _operation(endpoint: Endpoint, schemas: dict[Any, Any]) -> dict[str, Any]:
    parameters = _PARAMETER.findall(endpoint.path)
    failures = _ALWAYS | (_WITH_PARAMETER if parameters else {}) | (_WITH_BODY if endpoint.body else {})
    failures |= {str(status): HTTPStatus(status).phrase for status in endpoint.statuses if str(status) not in failures}
    error = {_JSON: {"schema": schemas[endpoint.error]}}
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "responses": {
            **_success(endpoint, schemas),
            **{status: {"description": text, "content": error} for status, text in sorted(failures.items())},
        },
    }
    if endpoint.path in OPEN_PATHS:
        operation["security"] = []
    if parameters:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in parameters
        ]
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": schemas[endpoint.body]}}}
    return operation


def _success(endpoint: Endpoint, schemas: dict[Any, Any]) -> dict[str, Any]:
    if HTTPStatus.NOT_IMPLEMENTED in endpoint.statuses:
        return {}
    content = {}
    if endpoint.answer is not None:
        content[endpoint.answer_type] = {"schema": schemas[endpoint.answer]}
    if endpoint.event is not None:
        content[endpoint.event_type] = {"schema": schemas[endpoint.event]}
    return {"200": {"description": endpoint.summary, **({"content": content} if content else {})}}
