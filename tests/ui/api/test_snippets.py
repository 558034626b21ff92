"""What is to be pasted works as it stands, whatever the model is called."""

from __future__ import annotations

import ast
import json
import shlex

import pytest

from ui.api.snippets import NO_KEY, TITLES, Connection, chapters

ODD = 'Müller\'s "best" model'


def text(title: str, to: Connection, at: int = 0) -> str:
    return chapters(to)[TITLES.index(title)].snippets[at].text


def connection(model: str = "tiny", key: str | None = "secret") -> Connection:
    return Connection("http://127.0.0.1:8080", key, model, 4096)


@pytest.mark.parametrize("model", ["tiny", ODD])
@pytest.mark.parametrize("title", ["Python", "Anthropic", "Ollama"])
def test_python_is_python_and_names_the_model(title: str, model: str) -> None:
    tree = ast.parse(text(title, connection(model)))

    constants = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert model in constants
    assert any("secret" in str(constant) for constant in constants)


@pytest.mark.parametrize("model", ["tiny", ODD])
def test_curl_sends_json_to_the_address(model: str) -> None:
    words = [word for word in shlex.split(text("curl", connection(model))) if word.strip()]

    assert words[:2] == ["curl", "http://127.0.0.1:8080/v1/chat/completions"]
    assert "Authorization: Bearer secret" in words
    assert json.loads(words[words.index("-d") + 1])["model"] == model


def test_without_a_key_none_is_sent_but_clients_get_something_to_start_with() -> None:
    assert "Authorization" not in text("curl", connection(key=None))
    assert "Authorization" not in text("Ollama", connection(key=None))
    assert NO_KEY in text("Python", connection(key=None))


def test_the_clients_of_others_get_the_address_that_they_want() -> None:
    assert "'http://127.0.0.1:8080/v1'" in text("Python", connection())
    assert "'http://127.0.0.1:8080'" in text("Anthropic", connection())
    assert "'http://127.0.0.1:8080'" in text("Ollama", connection())


def test_editors_get_settings_that_can_be_read() -> None:
    zed = json.loads(text("Editors", connection(ODD), 2))
    provider = zed["language_models"]["openai_compatible"]["Hearth"]

    assert provider["available_models"][0]["name"] == ODD
    assert provider["available_models"][0]["max_tokens"] == 4096
    assert json.dumps(ODD, ensure_ascii=False) in text("Editors", connection(ODD), 1)
