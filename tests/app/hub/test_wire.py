"""HTTP as it is spoken for the bytes of files."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.hub.errors import HubError, HubProblem
from app.hub.resolve import Origin, fetch, locate
from app.hub.wire import Wire
from app.jobs import CancelToken
from tests.doubles.hub_server import COMMIT, HubServer, random_bytes


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """A server that answers each request on one connection with what is given, whatever is asked."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            for answer in answers:
                connection.recv(65536)
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.close()
        thread.join()


def get(url: str) -> tuple[int, bytes]:
    wire = Wire(CancelToken(), stall_s=5)
    try:
        reply = wire.request("GET", url, {})
        return reply.status, reply.read(1 << 20)
    finally:
        wire.close()


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nA: b\r\n\r\n",
            b"hello",
        ),
    ],
)
def test_bodies_are_read_however_their_length_is_told(answer: bytes, body: bytes) -> None:
    with answering(answer) as url:
        assert get(url) == (200, body)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
def test_what_is_no_answer_is_told(answer: bytes) -> None:
    with answering(answer) as url, pytest.raises(HubError) as caught:
        get(url)
    assert caught.value.problem is HubProblem.ANSWER


def test_a_connection_is_used_again(server: HubServer) -> None:
    server.add("a/x-GGUF", {"config.json": b"{}"})
    origin = Origin(server.endpoint, "a/x-GGUF", COMMIT, "config.json")
    wire = Wire(CancelToken())
    for _ in range(3):
        assert fetch(wire, origin, origin.url, {}).read(100) == b"{}"
    wire.close()
    assert len(server.heard) == 3


def test_a_proxy_of_the_system_is_asked(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    data = random_bytes(1000)
    server.add("a/x-GGUF", {"x-Q4_0.gguf": data})
    monkeypatch.setenv("http_proxy", server.endpoint.replace("http://", "http://ada:secret@"))
    monkeypatch.delenv("no_proxy", raising=False)
    wire = Wire(CancelToken())
    location = locate(wire, Origin("http://hub.lan", "a/x-GGUF", COMMIT, "x-Q4_0.gguf"))
    wire.close()
    assert location.size_bytes == len(data)
    assert server.heard[0].headers["proxy-authorization"].startswith("Basic ")
    assert server.heard[0].headers["host"] == "hub.lan"


@pytest.mark.parametrize("place", ["http://192.168.1.1/x", "file:///etc/passwd", "http://example.com/x", ""])
def test_a_hub_cannot_send_us_anywhere(place: str) -> None:
    from app.hub.resolve import redirected
    from app.hub.wire import Reply

    class Body:
        length, is_read = 0, True

        def readinto(self, view: memoryview) -> int:
            return 0

    origin = Origin("https://hub.example.com", "a/x", COMMIT, "x.gguf", "token")
    with pytest.raises(HubError):
        redirected(origin.url, Reply(origin.url, 302, {"location": place}, Body()), origin)
