"""Hostile requests against a server that runs: what it answers, how ``/health`` fares, and whether the worker lives.

    python -m tests.benchmarks.abuse MODEL

Starts ``./run serve`` with a home of its own. Each row must end in 4xx or 503 (or 200 where the request is fine), with
``/health`` below 100 ms at the 99th percentile, and the worker of the beginning. Exit status 1 where one does not.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import http.client
import json
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.servers import hearth

MOST_HEALTH_MS = 100.0
ANSWER_S = 120.0
CHAT = "/v1/chat/completions"
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
Statuses = collections.Counter[str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, hearth(arguments.model, Path(home), 4096, 4) as port:
        return 0 if Abuse(port).run() else 1


class Abuse:
    """One server and who watches it."""

    def __init__(self, port: int) -> None:
        self._port = port
        pid = next(
            c.pid for c in psutil.net_connections("tcp") if tuple(c.laddr)[1:] == (port,) and c.status == "LISTEN"
        )
        self._server = psutil.Process(pid)
        self._health_ms: list[float] = []
        self._is_over = threading.Event()

    def run(self) -> bool:
        self._post(json.dumps(ASKED).encode())  # the model is loaded
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        _tell("attack", "seconds", "answers", "health p99", "worker")
        parts = (self._nested, self._not_text, self._schemas, self._grammars, self._endless_body, self._slow_readers)
        passed = [self._measured(part) for part in (*parts, self._crowd)]
        self._is_over.set()
        watcher.join()
        return all(passed)

    def _measured(self, attack: Callable[[], Statuses]) -> bool:
        workers, self._health_ms = self._workers(), []
        started_s = time.monotonic()
        statuses = attack()
        seconds = time.monotonic() - started_s
        time.sleep(0.3)  # some more samples of /health
        health_ms, is_same = _p99(self._health_ms), workers == self._workers()
        answers = ", ".join(f"{status} x{n}" for status, n in sorted(statuses.items()))
        name = attack.__name__.strip("_").replace("_", " ")
        _tell(name, f"{seconds:.1f}", answers, f"{health_ms:.1f} ms", "same" if is_same else "ANOTHER")
        is_clear = all(status in ("200", "503") or status.startswith("4") for status in statuses)
        return is_clear and is_same and health_ms < MOST_HEALTH_MS

    def _watch(self) -> None:
        while not self._is_over.wait(0.01):
            started_s = time.monotonic()
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
                connection.request("GET", "/health")
                connection.getresponse().read()
                connection.close()
            self._health_ms.append((time.monotonic() - started_s) * 1000)

    def _workers(self) -> list[int]:
        return sorted(child.pid for child in self._server.children(recursive=True))

    def _post(self, body: bytes) -> str:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_S)
            connection.request("POST", CHAT, body, {"content-type": "application/json"})
            response = connection.getresponse()
            response.read()
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        return str(response.status)

    def _all(self, bodies: Iterator[bytes]) -> Statuses:
        return collections.Counter(map(self._post, bodies))

    def _nested(self) -> Statuses:
        n = 20_000
        deep = (b"[" * n + b"]" * n, b"[" * n, b'{"a":' * n + b"1" + b"}" * n)
        return self._all(
            body for nest in deep for body in (nest, b'{"messages":' + nest + b"}", b'{"x":' + nest + b"}")
        )

    def _not_text(self) -> Statuses:
        return self._all(
            b'{"messages":[{"role":"user","content":"' + text + b'"}],"max_tokens":1}'
            for text in (b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"\x00")
        )

    def _schemas(self) -> Statuses:
        parts: dict[str, Any] = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 20} for n in range(30)}
        schemas: list[Any] = [
            {"$ref": "#"},
            {"$ref": "http://127.0.0.1:1/x"},
            {"enum": ["x" * 20 + str(number) for number in range(20_000)]},
            {"$defs": {**parts, "d30": {"type": "string"}}, "$ref": "#/$defs/d0"},
            {"type": "array", "items": {"type": "string"}, "minItems": 10**9},
            {"type": "string", "pattern": "^(((a{1,999}){1,999}){1,999}){1,999}$"},
            {"type": "integer", "minimum": -(10**30), "maximum": 10**30},
            {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(500)}},
        ]
        form = "json_schema"
        return self._all(
            json.dumps({**ASKED, "response_format": {"type": form, form: {"name": "x", "schema": schema}}}).encode()
            for schema in schemas
        )

    def _grammars(self) -> Statuses:
        doubling = "\n".join(f"r{n} ::= r{n + 1}? r{n + 1}? | r{n + 1}" for n in range(60))
        grammars = [
            f'root ::= r0 r0\n{doubling}\nr60 ::= "a"?',
            'root ::= root "a"',
            "root ::= " + "(" * 20_000 + '"a"' + ")" * 20_000,
            'root ::= ((("a"? "b"?){999}){999}){999}',
            "root ::= a* a* a* a* a* a*\na ::= [a-z]* | [a-y]* | [a-x]*",
            "root ::= [^\\x00-\\U0010FFFF]",
            "root ::= nowhere",
        ]
        return self._all(json.dumps({**ASKED, "grammar": grammar}).encode() for grammar in grammars)

    def _endless_body(self) -> Statuses:
        """A gigabyte in chunks, or as much of it as is taken."""
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            connection.settimeout(10)
            chunk = b"100000\r\n" + b" " * 1_048_576 + b"\r\n"
            with contextlib.suppress(OSError):
                connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
                for _ in range(1000):
                    connection.sendall(chunk)
            try:
                answer = connection.recv(64).split()
            except OSError as error:  # it hung up while we still wrote, which throws its answer away
                return collections.Counter([f"4xx or {type(error).__name__}"])
        return collections.Counter([answer[1].decode() if len(answer) > 1 else "nothing"])

    def _slow_readers(self) -> Statuses:
        """Streams that nobody reads must not hold up somebody who does."""
        body = json.dumps({**ASKED, "max_tokens": 1000, "stream": True}).encode()
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                reader = stack.enter_context(contextlib.closing(socket.socket()))
                reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                reader.connect(("127.0.0.1", self._port))
                reader.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            return self._all(json.dumps(ASKED).encode() for _ in range(3))

    def _crowd(self) -> Statuses:
        statuses: Statuses = collections.Counter()
        body = json.dumps(ASKED).encode()

        def ask() -> None:
            status = self._post(body)
            statuses[status] += 1

        clients = [threading.Thread(target=ask) for _ in range(200)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        return statuses


def _p99(values: list[float]) -> float:
    ordered = sorted(values) or [0.0]
    return ordered[int(len(ordered) * 0.99)]


def _tell(*cells: str) -> None:
    sys.stdout.write("{:<14} {:>8}  {:<42} {:>11}  {}\n".format(*cells))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
