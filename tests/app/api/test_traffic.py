"""What is logged and counted of the requests, and what is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
import pytest

from app.api import traffic as log
from app.api.guard import Access
from app.api.metrics import Metrics
from app.api.requests import Requests
from app.api.tracked import MAX_BODY_BYTES
from app.api.traffic import LoggedRequest, Surface, Traffic
from app.api.watched import watched_app
from engine.events import CacheChanged
from engine.reuse import KvUsage
from engine.types import SamplingParams
from tests.doubles.engine import FakeEngineClient
from tests.doubles.http_api import BASE_URL, CHAT, HELLO, KEY, MODEL
from tests.doubles.one_engine import OneEngine
from tests.doubles.scripted_engine import ScriptedEngine, fails, says

T = TypeVar("T")


def watched(
    scenario: Callable[[httpx.AsyncClient], Awaitable[T]], traffic: Traffic, engine: FakeEngineClient | None = None
) -> T:
    the_engine = engine or ScriptedEngine(*[says("Good day to you")] * 1000)

    async def main() -> T:
        requests = Requests(the_engine)
        the_engine.finish_loading()
        app = watched_app(OneEngine(requests, MODEL), Access(KEY), SamplingParams(), traffic, Metrics(traffic))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers) as client:
            try:
                return await scenario(client)
            finally:
                requests.close()

    return asyncio.run(main())


def post(traffic: Traffic, engine: FakeEngineClient | None = None, **changes: Any) -> LoggedRequest:
    watched(lambda client: client.post(CHAT, json={**HELLO, **changes}), traffic, engine)
    return traffic.snapshot().recent[0]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_logged_with_its_tokens_and_without_its_text(stream: bool) -> None:
    logged = post(Traffic(), stream=stream)
    assert (logged.method, logged.endpoint, logged.surface, logged.model) == ("POST", CHAT, Surface.OPENAI, "tiny")
    assert (logged.n_prompt, logged.n_cached, logged.n_output, logged.status) == (20, 4, 4, 200)
    assert logged.tokens_per_s == 6  # three tokens after the first in half a second
    assert logged.first_token_s is not None
    assert (logged.error, logged.bodies) == (None, None)


def test_bodies_are_kept_when_somebody_asks_and_forgotten_when_no_longer() -> None:
    traffic = Traffic()
    traffic.keep_bodies(True)
    bodies = post(traffic).bodies
    assert bodies is not None
    assert "Hello" in bodies.request
    assert "Good day to you" in bodies.response
    traffic.keep_bodies(False)
    assert [logged.bodies for logged in traffic.snapshot().recent] == [None]


def test_long_bodies_are_cut_and_old_ones_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MAX_BODIES_CHARS", 2 * MAX_BODY_BYTES)
    traffic = Traffic()
    traffic.keep_bodies(True)
    long = [{"role": "user", "content": "x" * 2 * MAX_BODY_BYTES}]
    bodies = [post(traffic, messages=long).bodies for _ in range(2)]
    assert bodies[-1] is not None
    assert len(bodies[-1].request) == MAX_BODY_BYTES + 1
    assert bodies[-1].request.endswith("…")
    assert [logged.bodies is None for logged in traffic.snapshot().recent] == [False, True]


@pytest.mark.parametrize(
    ("headers", "changes", "status", "said"),
    [
        ({"authorization": "Bearer wrong"}, {}, 401, "API key"),
        ({"host": "evil.com"}, {}, 403, "Host"),
        ({}, {"model": "gpt-9"}, 404, "gpt-9"),
        ({}, {"temperature": 99}, 400, "temperature"),
    ],
)
def test_what_is_refused_is_logged_with_the_reason(
    headers: dict[str, str], changes: dict[str, Any], status: int, said: str
) -> None:
    traffic = Traffic()
    watched(lambda client: client.post(CHAT, json={**HELLO, **changes}, headers=headers), traffic)
    snapshot = traffic.snapshot()
    assert snapshot.recent[0].status == status
    assert said in (snapshot.recent[0].error or "")
    assert (snapshot.n_requests, snapshot.n_errors, snapshot.live) == (1, 1, ())


def test_a_stream_that_fails_half_way_is_an_error() -> None:
    logged = post(Traffic(), ScriptedEngine(fails("The model process died.")), stream=True)
    assert logged.error == "The model process died."


def test_the_log_is_bounded_and_has_the_newest_first() -> None:
    async def many(client: httpx.AsyncClient) -> None:
        for n in range(log.N_RECENT + 5):
            await client.get(f"/v1/models/m{n}")

    traffic = Traffic()
    watched(many, traffic)
    snapshot = traffic.snapshot()
    assert len(snapshot.recent) == log.N_RECENT
    assert snapshot.recent[0].endpoint == f"/v1/models/m{log.N_RECENT + 4}"
    assert snapshot.n_requests == log.N_RECENT + 5


def test_who_asks_whether_all_is_well_is_not_logged() -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/metrics")).status_code == 200

    traffic = Traffic()
    watched(scenario, traffic)
    assert traffic.snapshot().recent == ()


def test_what_a_client_calls_itself_is_cut_and_printable() -> None:
    traffic = Traffic()
    agent = b"evil\x1b[31m" + b"a" * 5000
    watched(lambda client: client.get("/v1/models", headers=[(b"user-agent", agent)]), traffic)
    shown = traffic.snapshot().recent[0].agent
    assert shown.startswith("evil[31m")
    assert len(shown) <= 200


def test_metrics_count_what_went_through() -> None:
    engine = ScriptedEngine(*[says("Good day to you")] * 2)

    async def scenario(client: httpx.AsyncClient) -> str:
        await client.post(CHAT, json=HELLO)
        await client.post(CHAT, json=HELLO)
        await client.get("/v1/models/nothing")
        await client.get("/no/such/path")
        engine.emit(CacheChanged((), KvUsage(100, 4096, 5000, 10_000, 7000, 20_000, 3)))
        return (await client.get("/metrics")).text

    lines = watched(scenario, Traffic(), engine).splitlines()
    for line in (
        'hearth_requests_total{endpoint="/v1/chat/completions",status="200",surface="openai"} 2.0',
        'hearth_requests_total{endpoint="other",status="404",surface="other"} 1.0',
        'hearth_prompt_tokens_total{surface="openai"} 40.0',
        'hearth_cached_prompt_tokens_total{surface="openai"} 8.0',
        'hearth_output_tokens_total{surface="openai"} 8.0',
        'hearth_time_to_first_token_seconds_count{surface="openai"} 2.0',
        'hearth_output_tokens_per_second_count{surface="openai"} 2.0',
        'hearth_live_requests{phase="queued"} 0.0',
        "hearth_loaded_models 1.0",
        'hearth_kv_bytes{model="tiny",tier="ram"} 5000.0',
        'hearth_kv_cells_used{model="tiny"} 100.0',
    ):
        assert line in lines
    assert not any("nothing" in line for line in lines)


def test_metrics_need_the_key() -> None:
    async def scenario(client: httpx.AsyncClient) -> int:
        return (await client.get("/metrics", headers={"authorization": ""})).status_code

    assert watched(scenario, Traffic()) == 401
