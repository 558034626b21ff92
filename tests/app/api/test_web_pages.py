"""Web pages: which may call, what their browser is told before, and that a wrong key costs only who shows it."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
import pytest

from app.api import guard
from app.api.guard import Access
from tests.doubles.http_api import CHAT, KEY, Api, with_api

PAGE = "http://localhost:3000"
LISTED = Access(KEY, origins=frozenset({PAGE}))


def call(method: str, headers: Mapping[str, str], access: Access = LISTED) -> httpx.Response:
    async def scenario(api: Api) -> httpx.Response:
        path = "/v1/models" if method == "GET" else CHAT
        return await api.client.request(method, path, headers=headers)

    return with_api(scenario, access=access)


def granted(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control")}


def test_a_listed_page_may_read_the_answer() -> None:
    response = call("GET", {"origin": PAGE})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == PAGE
    assert "access-control-allow-credentials" not in response.headers
    assert "Origin" in response.headers["vary"]


def test_a_listed_page_needs_the_key_and_can_read_that() -> None:
    response = call("GET", {"origin": PAGE, "authorization": "Bearer wrong"})
    assert response.status_code == 401
    assert response.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize("origin", ["http://localhost:3001", "https://localhost:3000", PAGE + ".evil.com", "null"])
def test_a_page_that_is_not_listed_gets_nothing(origin: str) -> None:
    for method in ("GET", "OPTIONS"):
        response = call(method, {"origin": origin, "access-control-request-method": "POST"})
        assert response.status_code == 403
        assert granted(response) == {}
        assert response.headers["vary"] == "Origin"


def test_a_listed_page_reaches_no_other_host() -> None:
    assert call("GET", {"origin": PAGE, "host": "evil.com"}).status_code == 403


def test_a_preflight_of_a_listed_page_is_answered_without_a_key() -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,x-stainless-os"}
    response = call("OPTIONS", {"origin": PAGE, "authorization": "", **asked})
    assert (response.status_code, response.content) == (204, b"")
    told = granted(response)
    assert told["access-control-allow-origin"] == PAGE
    assert told["access-control-allow-headers"] == "authorization,x-stainless-os"
    assert "POST" in told["access-control-allow-methods"]
    assert "access-control-allow-private-network" not in told
    assert "access-control-allow-credentials" not in told


def test_this_network_is_opened_to_a_listed_page_alone() -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-private-network": "true"}
    assert granted(call("OPTIONS", {"origin": PAGE, **asked}))["access-control-allow-private-network"] == "true"
    assert granted(call("OPTIONS", {"origin": "http://evil.com", **asked})) == {}


def test_what_is_asked_for_is_not_repeated_blindly() -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "a\tb;<x>"}
    assert "access-control-allow-headers" not in granted(call("OPTIONS", {"origin": PAGE, **asked}))


def test_many_wrong_keys_wait_and_the_right_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(guard.asyncio, "sleep", wait)

    async def scenario(api: Api) -> None:
        for _ in range(guard.N_FREE_GUESSES + 2):
            wrong = await api.client.get("/v1/models", headers={"authorization": "Bearer wrong"})
            assert wrong.status_code == 401
        assert (await api.client.get("/v1/models")).status_code == 200

    with_api(scenario)
    assert waits == [guard.GUESS_DELAY_S] * 2
