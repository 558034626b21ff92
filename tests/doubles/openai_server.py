"""A server that speaks OpenAI's protocol on loopback, as well or as badly as a test wants."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODELS = {"object": "list", "data": [{"id": "org/big", "owned_by": "vllm", "max_model_len": 4096}]}


@dataclass
class Heard:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


Reply = Callable[["Exchange"], None]


class Exchange:
    """What a reply writes to."""

    def __init__(self, handler: BaseHTTPRequestHandler, heard: Heard, server: FakeServer) -> None:
        self._handler = handler
        self.heard = heard
        self._server = server

    def json(self, data: Any, status: int = 200, **headers: str) -> None:
        self.raw(json.dumps(data).encode(), status, "application/json", **headers)

    def raw(self, body: bytes, status: int = 200, kind: str = "text/plain", **headers: str) -> None:
        self._head(status, {"content-type": kind, "content-length": str(len(body)), **headers})
        self.write(body)

    def stream(self, *events: Any, done: bool = True) -> None:
        """Server-sent events; the connection closes after them."""
        self.open_stream()
        for event in events:
            self.event(event)
        if done:
            self.write(b"data: [DONE]\n\n")

    def open_stream(self) -> None:
        self._head(200, {"content-type": "text/event-stream", "connection": "close"})
        self._handler.close_connection = True

    def event(self, data: Any) -> None:
        self.write(f"data: {json.dumps(data)}\n\n".encode())

    def write(self, data: bytes) -> None:
        self._handler.wfile.write(data)
        self._handler.wfile.flush()

    def wait_for_hang_up(self) -> None:
        """Until the other side closes the connection, which ``gone`` of the server tells."""
        self._handler.connection.settimeout(20)
        if self._handler.connection.recv(1) == b"":
            self._server.gone.set()

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self._handler.send_response(status)
        for name, value in headers.items():
            self._handler.send_header(name.replace("_", "-"), value)
        self._handler.end_headers()


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def ending(reason: str = "stop", **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason, **fields}]}


def usage(n_prompt: int, n_output: int, n_cached: int | None = None) -> dict[str, Any]:
    details = None if n_cached is None else {"cached_tokens": n_cached}
    told = {"prompt_tokens": n_prompt, "completion_tokens": n_output, "prompt_tokens_details": details}
    return {"choices": [], "usage": told}


def says(*words: str) -> Reply:
    return lambda to: to.stream(*(delta(content=word) for word in words), ending(), usage(12, len(words), 8))


@dataclass
class FakeServer:
    """``replies`` answer one question each, in order; ``models`` answers the list of models."""

    replies: list[Reply] = field(default_factory=list)
    models: Reply = lambda to: to.json(MODELS)
    heard: list[Heard] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def questions(self) -> list[Any]:
        """The bodies of what was posted."""
        return [heard.body for heard in self.heard if heard.method == "POST"]

    @contextmanager
    def running(self) -> Iterator[FakeServer]:
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                double._hear(self, None)

            def do_POST(self) -> None:
                double._hear(self, json.loads(self.rfile.read(int(self.headers["content-length"]))))

            def log_message(self, *args: object) -> None:
                pass

        server = _Server(("127.0.0.1", 0), Handler)
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def _hear(self, handler: BaseHTTPRequestHandler, body: Any) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        heard = Heard(handler.command, handler.path, headers, body)
        self.heard.append(heard)
        exchange = Exchange(handler, heard, self)
        if handler.path == "/v1/models":
            self.models(exchange)
        elif handler.command == "POST":
            self.replies.pop(0)(exchange)
        else:
            exchange.json({"error": {"message": "Not found"}}, 404)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients of these tests hang up, as they are meant to."""


def unused_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
