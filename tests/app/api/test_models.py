from __future__ import annotations

from typing import Any

import httpx
import pytest

from engine.errors import ErrorInfo
from engine.events import EngineFailed, Event, LoadFailed, ModelLoading, ModelUnloaded
from tests.doubles.http_api import HELLO, Api, ask, with_api
from tests.doubles.scripted_engine import ScriptedEngine, says

CARD: dict[str, Any] = {
    "id": "tiny",
    "object": "model",
    "created": 1_700_000_000,
    "owned_by": "hearth",
    "meta": {"n_ctx": 4096, "n_ctx_train": 8192, "n_vocab": 1000, "n_params": 1_000_000, "size": 1_000_000},
}
DIED = ErrorInfo("EngineStopped", "It died.")


def get(path: str, *before: Event) -> httpx.Response:
    async def scenario(api: Api) -> httpx.Response:
        for event in before:
            api.engine.emit(event)
        return await api.client.get(path)

    return with_api(scenario)


def test_the_list_has_the_model_that_is_served() -> None:
    assert get("/v1/models").json() == {"object": "list", "data": [CARD]}


def test_a_model_can_be_asked_for_by_itself() -> None:
    assert get("/v1/models/tiny").json() == CARD
    assert get("/v1/models/Tiny Model").json() == CARD


def test_another_model_is_not_here() -> None:
    response = get("/v1/models/some/other")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"


def test_while_it_loads_it_is_listed_without_its_facts() -> None:
    response = get("/v1/models", ModelLoading("/m", 0.5))
    assert response.json()["data"] == [{key: value for key, value in CARD.items() if key != "meta"}]


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        (ModelLoading("/m", 0.5), 503, "model_loading"),
        (ModelUnloaded("/m"), 503, "model_loading"),
        (EngineFailed("/m", DIED, restarting=True), 503, "model_loading"),
        (EngineFailed("/m", DIED, restarting=False), 503, "model_not_loaded"),
        (LoadFailed("/m", DIED), 503, "model_not_loaded"),
    ],
)
def test_health_says_whether_it_can_answer_now(event: Event, status: int, code: str) -> None:
    response = get("/health", event)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("model", ["tiny", "Tiny Model", "default", None])
def test_a_question_may_name_the_model_or_none(model: str | None) -> None:
    response = ask({**HELLO, "model": model}, ScriptedEngine(says("x")))
    assert (response.status_code, response.json()["model"]) == (200, "tiny")


def test_a_question_to_another_model_is_refused() -> None:
    response = ask({**HELLO, "model": "gpt-9"}, ScriptedEngine())
    assert response.status_code == 404
    assert response.json()["error"] == {
        "message": "There is no model 'gpt-9' here. There is 'tiny'.",
        "type": "not_found_error",
        "param": "model",
        "code": "model_not_found",
    }


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v2", 404), ("DELETE", "/v1/models", 405)])
def test_what_is_not_there_is_told_in_the_same_shape(method: str, path: str, status: int) -> None:
    async def scenario(api: Api) -> httpx.Response:
        return await api.client.request(method, path)

    response = with_api(scenario)
    assert response.status_code == status
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
