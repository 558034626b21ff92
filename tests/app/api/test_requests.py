"""Clients that go away, that do not read, and that come too many."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from app.api import body
from app.api import requests as under_way
from engine.events import PrefillProgressed, RequestStarted, TokensEmitted
from engine.types import FinishReason, RequestId
from tests.doubles.http_api import HELLO, Api, Connection, Noticing, sse, with_api

STREAM = {**HELLO, "stream": True}
UNCHANGED: list[RequestId] = []


def starts(engine: Noticing, request_id: RequestId) -> None:
    engine.emit(RequestStarted(request_id, n_prompt=20, n_cached=0))
    engine.emit(PrefillProgressed(request_id, 5, 20))


def says_first(engine: Noticing, request_id: RequestId) -> None:
    engine.emit(TokensEmitted(request_id, "Good", 1))


def waits(engine: Noticing, request_id: RequestId) -> None:
    """Still in the queue."""


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("so_far", [waits, starts, says_first])
def test_a_client_that_goes_away_stops_its_request(so_far: Any, stream: bool) -> None:
    async def scenario(api: Api) -> None:
        engine = api.engine
        assert isinstance(engine, Noticing)
        connection = Connection(api.app, {**HELLO, "stream": stream})
        serving = connection.open()
        await engine.asked.wait()
        (request,) = engine.submitted
        so_far(engine, request.id)
        if so_far is says_first and stream:
            await connection.heard.wait()
        connection.gone.set()
        await serving
        assert engine.cancelled == [request.id]
        says_first(engine, request.id)  # what still comes disturbs nobody
        engine.finish(request.id, 1, FinishReason.CANCELLED)

    with_api(scenario, Noticing())


def test_a_client_that_goes_away_before_it_has_asked_asks_nothing() -> None:
    async def scenario(api: Api) -> None:
        connection = Connection(api.app, STREAM, sends_body=False)
        serving = connection.open()
        connection.gone.set()
        await serving
        assert (connection.sent, api.engine.submitted) == ([], [])

    with_api(scenario, Noticing())


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "BODY_TIMEOUT_S", 0)

    async def scenario(api: Api) -> None:
        connection = Connection(api.app, STREAM, sends_body=False)
        await connection.open()
        assert connection.sent[0]["status"] == 408
        assert api.engine.submitted == []

    with_api(scenario, Noticing())


def test_a_request_that_is_done_is_not_cancelled() -> None:
    async def scenario(api: Api) -> None:
        engine = api.engine
        assert isinstance(engine, Noticing)
        connection = Connection(api.app, STREAM)
        serving = connection.open()
        await engine.asked.wait()
        engine.answer(engine.submitted[0].id, "Good morning")
        await serving
        assert engine.cancelled == UNCHANGED
        assert sse(connection.text)[-1] == "[DONE]"

    with_api(scenario, Noticing())


def test_a_slow_reader_is_cancelled_and_holds_nobody() -> None:
    async def scenario(api: Api) -> None:
        engine = api.engine
        assert isinstance(engine, Noticing)
        connection = Connection(api.app, STREAM)
        serving = connection.open()
        await engine.asked.wait()
        request_id = engine.submitted[0].id
        connection.reads.clear()
        says_first(engine, request_id)
        for _ in range(3):
            for n in range(under_way.MAX_WAITING_EVENTS):
                engine.emit(TokensEmitted(request_id, " on", n + 2))
            await asyncio.sleep(0)
        await serving
        assert engine.cancelled == [request_id]

    with_api(scenario, Noticing())


def test_tokens_that_are_ready_together_are_written_together() -> None:
    async def scenario(api: Api) -> list[Any]:
        engine = api.engine
        assert isinstance(engine, Noticing)
        connection = Connection(api.app, STREAM)
        serving = connection.open()
        await engine.asked.wait()
        engine.answer(engine.submitted[0].id, "one two three")
        await serving
        return connection.sent

    start, rest = with_api(scenario, Noticing())
    assert start["type"] == "http.response.start"
    assert rest["more_body"] is False
    assert len(sse(rest["body"].decode())) == 6


def test_the_first_token_does_not_wait_for_the_second() -> None:
    async def scenario(api: Api) -> None:
        engine = api.engine
        assert isinstance(engine, Noticing)
        connection = Connection(api.app, STREAM)
        serving = connection.open()
        await engine.asked.wait()
        request_id = engine.submitted[0].id
        says_first(engine, request_id)
        await connection.heard.wait()
        while len(connection.sent) < 2:
            await asyncio.sleep(0)
        assert [part["choices"][0]["delta"] for part in sse(connection.text)] == [
            {"role": "assistant", "content": None},
            {"content": "Good"},
        ]
        engine.finish(request_id, 1)
        await serving

    with_api(scenario, Noticing())


def test_events_come_from_another_thread() -> None:
    async def scenario(api: Api) -> str:
        engine = api.engine
        assert isinstance(engine, Noticing)
        connection = Connection(api.app, STREAM)
        serving = connection.open()
        await engine.asked.wait()
        said = " ".join(str(n) for n in range(2000))
        thread = threading.Thread(target=engine.answer, args=(engine.submitted[0].id, said))
        thread.start()
        await serving
        thread.join()
        chunks = sse(connection.text)[1:-2]
        assert "".join(part["choices"][0]["delta"]["content"] for part in chunks) == said
        return said

    with_api(scenario, Noticing())


def test_too_many_requests_are_asked_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_way, "MAX_REQUESTS", 1)

    async def scenario(api: Api) -> None:
        engine = api.engine
        assert isinstance(engine, Noticing)
        serving = Connection(api.app, STREAM).open()
        await engine.asked.wait()
        refused = await api.chat()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert (await api.client.get("/health")).status_code == 200
        engine.answer(engine.submitted[0].id, "Fine")
        await serving

    with_api(scenario, Noticing())


def test_closing_ends_what_is_under_way() -> None:
    async def scenario(api: Api) -> None:
        engine = api.engine
        assert isinstance(engine, Noticing)
        connection = Connection(api.app, STREAM)
        serving = connection.open()
        await engine.asked.wait()
        says_first(engine, engine.submitted[0].id)
        await connection.heard.wait()
        api.requests.close()
        await serving
        assert engine.cancelled == [engine.submitted[0].id]
        assert sse(connection.text)[-1]["error"]["code"] == "busy"
        assert (await api.chat()).status_code == 503

    with_api(scenario, Noticing())
