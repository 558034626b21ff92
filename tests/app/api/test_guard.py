"""Who may use the API: rebinding, pages on the web, keys, and bodies that are no bodies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import httpx
import pytest

from app.api.body import MAX_BODY_BYTES
from app.api.guard import LOOPBACK_NAMES, Access
from tests.doubles.http_api import CHAT, HELLO, KEY, Api, ask, with_api
from tests.doubles.scripted_engine import ScriptedEngine, says

PATHS = ["/health", "/v1/models", "/v1/models/tiny", CHAT, "/nothing"]
BODY = b'{"messages":[{"role":"user","content":"Hello"}]}'


def get(path: str, headers: Mapping[str, str], *, access: Access | None = None) -> httpx.Response:
    async def scenario(api: Api) -> httpx.Response:
        response = await api.client.request("POST" if path == CHAT else "GET", path, headers=headers)
        assert api.engine.submitted == []
        return response

    return with_api(scenario, access=access)


def post(body: bytes, **headers: str) -> httpx.Response:
    async def scenario(api: Api) -> httpx.Response:
        response = await api.post(body, **headers)
        assert api.engine.submitted == []
        return response

    return with_api(scenario)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.com",
        "evil.com:8080",
        "127.0.0.1.evil.com",
        "localhost.evil.com",
        "127.0.0.1:8080, evil.com",
        "127.0.0.1@evil.com",
        "[::1].evil.com",
        "[::1",
        "8.8.8.8",
        "0.0.0.0:8080",
        "localhost:",
        "LOCALHOST.",
        "a" * 5000,
    ],
)
def test_a_host_that_is_not_ours_is_refused(path: str, host: str) -> None:
    assert get(path, {"host": host}).status_code == 403


def test_two_hosts_are_refused() -> None:
    async def scenario(api: Api) -> int:
        headers = [("host", "127.0.0.1"), ("host", "127.0.0.1"), ("authorization", f"Bearer {KEY}")]
        return (await api.client.get("/v1/models", headers=headers)).status_code

    assert with_api(scenario) == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8080", "localhost:9", "LocalHost", "[::1]:8080", "[::1]"])
def test_this_machines_own_names_are_fine(host: str) -> None:
    assert get("/v1/models", {"host": host}).status_code == 200


def test_on_all_interfaces_any_address_is_fine_and_no_foreign_name() -> None:
    access = Access(KEY, LOOPBACK_NAMES | {"den"}, any_address=True)
    statuses = {
        host: get("/v1/models", {"host": host}, access=access).status_code for host in ("192.168.1.7:80", "den")
    }
    assert statuses == {"192.168.1.7:80": 200, "den": 200}
    assert get("/v1/models", {"host": "192.168.1.7.evil.com"}, access=access).status_code == 403


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "origin", ["null", "http://evil.com", "http://localhost.evil.com", "file://", "http://127.0.0.1:3000", "", "x://y"]
)
def test_web_pages_are_refused(path: str, origin: str) -> None:
    assert get(path, {"origin": origin}).status_code == 403


def test_a_preflight_is_told_nothing() -> None:
    async def scenario(api: Api) -> None:
        headers = {"origin": "http://evil.com", "access-control-request-method": "POST"}
        for more in ({}, {"origin": "http://127.0.0.1:8080"}):
            response = await api.client.options(CHAT, headers={**headers, **more})
            assert response.status_code in (403, 405)
            assert not [name for name in response.headers if name.startswith("access-control")]

    with_api(scenario)


@pytest.mark.parametrize("path", PATHS[1:])
@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": ""},
        {"authorization": "Bearer "},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Bearer {KEY[:-1]}"},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": f"Basic {KEY}"},
        {"authorization": KEY},
        {"authorization": "", "x-api-key": KEY[:-1]},
    ],
)
def test_without_the_key_nothing_answers(path: str, headers: Mapping[str, str]) -> None:
    response = get(path, headers)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert KEY not in response.text


def test_the_key_is_taken_from_either_header() -> None:
    assert get("/v1/models", {"authorization": f"bearer {KEY}"}).status_code == 200
    assert get("/v1/models", {"authorization": "", "x-api-key": KEY}).status_code == 200


def test_bytes_that_are_no_text_are_no_key() -> None:
    async def scenario(api: Api) -> int:
        headers = [(b"authorization", b"Bearer \xff\xfe")]
        return (await api.client.get("/v1/models", headers=headers)).status_code

    assert with_api(scenario) == 401


def test_health_needs_no_key_and_nothing_does_where_none_is_wanted() -> None:
    assert get("/health", {"authorization": ""}).json() == {"status": "ok"}
    assert get("/v1/models", {"authorization": ""}, access=Access(None)).status_code == 200
    assert get("/v1/models", {"host": "evil.com"}, access=Access(None)).status_code == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
def test_what_a_web_form_can_send_is_no_json(kind: str) -> None:
    assert post(BODY, content_type=kind).status_code == 415


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_may_say_more_about_itself(kind: str) -> None:
    async def scenario(api: Api) -> int:
        return (await api.post(BODY, content_type=kind)).status_code

    assert with_api(scenario, ScriptedEngine(says("x"))) == 200


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "br", "identity, gzip"])
def test_compressed_bodies_are_refused(encoding: str) -> None:
    assert post(BODY, content_encoding=encoding).status_code == 415


def test_a_body_that_says_it_is_too_long_is_not_read() -> None:
    assert post(b"{}", content_length=str(MAX_BODY_BYTES + 1)).status_code == 413
    assert post(b"{}", content_length="9" * 5000).status_code == 413
    assert post(b"{}", content_length="-1").status_code == 400


def test_a_body_without_a_length_is_read_so_far_and_no_further() -> None:
    n_taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal n_taken
        while True:
            n_taken += 1
            yield b" " * 65_536

    async def scenario(api: Api) -> int:
        headers = {"content-type": "application/json"}
        return (await api.client.post(CHAT, content=endless(), headers=headers)).status_code

    assert with_api(scenario) == 413
    assert n_taken <= MAX_BODY_BYTES // 65_536 + 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b'{"messages":[{"role":"user","content":"\xff\xfe"}]}',
        b'{"unknown":"\xff",' + BODY[1:],
        rb'{"messages":[{"role":"user","content":"\ud800"}]}',
        rb'{"messages":[{"role":"user","content":"\u0000"}]}',
        b"[" * 100_000,
        b'{"messages":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b'{"unknown":' * 20_000 + b"1" + b"}" * 20_000,
        BODY + b"x",
        b"null",
        b"[]",
    ],
    ids=range(12),
)
def test_what_is_no_json_for_us_is_told_so(body: bytes) -> None:
    response = post(body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_a_bug_is_a_500_that_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(ScriptedEngine):
        def submit(self, request: object) -> None:
            raise RuntimeError("a secret path")

    response = ask(HELLO, Broken())
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert "secret" not in response.text
    assert "a request to the API failed" in caplog.text
