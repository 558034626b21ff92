"""The API in process, over an engine that follows a script: with httpx for whole answers, by hand for broken ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import msgspec
from starlette.types import ASGIApp

from app.api.application import build_app
from app.api.guard import Access
from app.api.models import ServedModel
from app.api.requests import Requests
from engine.types import GenerationRequest, SamplingParams
from tests.doubles.engine import FakeEngineClient
from tests.doubles.one_engine import OneEngine
from tests.doubles.scripted_engine import ScriptedEngine

KEY = "hearth-" + "k" * 43
BASE_URL = "http://127.0.0.1:8080"
CHAT = "/v1/chat/completions"
MODEL = ServedModel("tiny", "Tiny Model", 1_700_000_000)
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}

T = TypeVar("T")


@dataclass
class Api:
    app: ASGIApp
    engine: FakeEngineClient
    requests: Requests
    client: httpx.AsyncClient

    async def chat(self, body: Mapping[str, Any] = HELLO, /, **changes: Any) -> httpx.Response:
        """Post a question; ``changes`` are more fields of its body."""
        return await self.client.post(CHAT, json={**body, **changes})

    async def post(self, body: bytes, **headers: str) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(CHAT, content=body, headers={"content-type": "application/json", **names})


def with_api(
    scenario: Callable[[Api], Awaitable[T]],
    engine: FakeEngineClient | None = None,
    *,
    access: Access | None = None,
    defaults: SamplingParams | None = None,
) -> T:
    """Run a scenario against the API; its engine has loaded a model of 1,000 tokens."""
    the_engine = engine or ScriptedEngine()

    async def main() -> T:
        requests = Requests(the_engine)
        the_engine.finish_loading()
        app = build_app(OneEngine(requests, MODEL), access or Access(KEY), defaults or SamplingParams())
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers) as client:
            try:
                return await scenario(Api(app, the_engine, requests, client))
            finally:
                requests.close()

    return asyncio.run(main())


def ask(body: Mapping[str, Any], engine: FakeEngineClient, **options: Any) -> httpx.Response:
    """One question and its answer."""

    async def scenario(api: Api) -> httpx.Response:
        return await api.chat(body)

    return with_api(scenario, engine, **options)


def sse(text: str) -> list[Any]:
    """The JSON of each server-sent event; the mark at the end as text."""
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [line if line == "[DONE]" else msgspec.json.decode(line) for line in lines]


@dataclass
class Connection:
    """A client that can go away, and can stop reading. Drives the application as a server would."""

    app: ASGIApp
    body: Mapping[str, Any]
    sends_body: bool = True
    sent: list[dict[str, Any]] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    reads: asyncio.Event = field(default_factory=asyncio.Event)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    def open(self) -> asyncio.Task[None]:
        """Start the request. It reads until ``reads`` is cleared."""
        self.reads.set()
        headers = {"host": "127.0.0.1", "authorization": f"Bearer {KEY}", "content-type": "application/json"}
        scope = {
            "type": "http",
            "method": "POST",
            "path": CHAT,
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        return asyncio.ensure_future(self._run(scope))

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent).decode()

    async def _run(self, scope: dict[str, Any]) -> None:
        await self.app(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        if self.sends_body:
            self.sends_body = False
            return {"type": "http.request", "body": msgspec.json.encode(self.body), "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self.reads.wait()
        self.sent.append(message)
        self.heard.set()


class Noticing(FakeEngineClient):
    """Tells when it was asked something. Its answers come when the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    def submit(self, request: GenerationRequest) -> None:
        super().submit(request)
        self.asked.set()
