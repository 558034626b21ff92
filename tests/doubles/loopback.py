"""The API on a socket of this machine, in a thread of its own, for clients that are programs of others."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from app.api.application import build_app
from app.api.requests import Requests
from app.api.server import ApiServer, Listener
from engine.types import SamplingParams
from tests.doubles.engine import FakeEngineClient
from tests.doubles.http_api import KEY, MODEL
from tests.doubles.one_engine import OneEngine


@contextmanager
def on_loopback(engine: FakeEngineClient) -> Iterator[str]:
    """The address of a server whose engine has loaded a model; clients need KEY."""
    listener = Listener.bind("127.0.0.1", 0)
    servers: queue.Queue[ApiServer] = queue.Queue()

    async def main() -> None:
        requests = Requests(engine)
        engine.finish_loading()
        app = build_app(OneEngine(requests, MODEL), listener.access(KEY), SamplingParams())
        server = ApiServer(app, requests.close)
        servers.put(server)
        await server.serve([listener.socket])

    with listener.socket:
        thread = threading.Thread(target=lambda: asyncio.run(main()), name="loopback server")
        thread.start()
        server = servers.get(timeout=10)
        try:
            yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        finally:
            server.stop()
            thread.join()
