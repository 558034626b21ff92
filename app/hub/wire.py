"""HTTP/1.1 for the bytes of files: one connection, ranges, and a body that is read straight into a buffer.

A library would copy each byte several times and hold the interpreter's lock meanwhile. ``http.client`` makes the
connection (names, proxies, TLS); the rest is here. Redirects are the business of who asks.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from app.hub.errors import Headers, bad_answer, from_transport, proxy_error
from app.remote.address import is_loopback
from engine.errors import Cancelled

CONNECT_S = 10.0
STALL_S = 30.0
"""How long nothing may come before the connection counts as broken."""

USER_AGENT = "Hearth"
_MAX_HEAD_BYTES = 64 << 10
_HEAD_READ_BYTES = 16 << 10
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\r?\n")
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")
_FORBIDDEN_IN_URL = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True)
class Span:
    """Which bytes an answer holds, ``end`` not included, of how many there are."""

    start: int
    end: int
    total: int


class Stop(Protocol):
    """What ends a request from another thread: ``app.jobs.CancelToken``, and what the downloads have."""

    @property
    def cancelled(self) -> bool: ...


class Reply:
    """Status and headers, and a body to be read. Thread: the one that asked."""

    def __init__(self, url: str, status: int, headers: Headers, body: _Body) -> None:
        self.url = url
        self.status = status
        self.headers = headers
        self._body = body

    @property
    def span(self) -> Span | None:
        """Of an answer to a range; of a whole file all of it, where its length is told."""
        if self.status == http.HTTPStatus.PARTIAL_CONTENT:
            found = _CONTENT_RANGE.fullmatch((self.headers.get("content-range") or "").strip())
            return Span(int(found[1]), int(found[2]) + 1, int(found[3])) if found else None
        length = self._body.length
        return Span(0, length, length) if self.status == http.HTTPStatus.OK and length is not None else None

    @property
    def etag(self) -> str | None:
        """A strong one: a weak one says nothing about single bytes."""
        value = (self.headers.get("etag") or "").strip()
        return value if value and not value.startswith("W/") else None

    def readinto(self, view: memoryview) -> int:
        """What has come, at least a byte; 0 at the end of the body. Raises OSError, HubError."""
        return self._body.readinto(view)

    def read(self, max_bytes: int) -> bytes:
        """The body, or its beginning. Raises OSError, HubError."""
        data = bytearray(max_bytes)
        n_bytes = 0
        with memoryview(data) as view:
            while n_bytes < max_bytes and (n := self.readinto(view[n_bytes:])):
                n_bytes += n
        return bytes(data[:n_bytes])

    @property
    def is_read(self) -> bool:
        """Whether the connection can take another request."""
        return self._body.is_read


class Wire:
    """One connection at a time, kept for the next request to the same place. Thread: one, but ``abort`` any."""

    def __init__(self, stop: Stop, stall_s: float = STALL_S) -> None:
        self._stop = stop
        self._stall_s = stall_s
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        self._place: tuple[str, str] | None = None
        self._reply: Reply | None = None

    def request(self, method: str, url: str, headers: Mapping[str, str]) -> Reply:
        """Ask and read the answer's head. Raises HubError for whatever prevents it, Cancelled."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or _FORBIDDEN_IN_URL.search(url):
            raise bad_answer(url, f"not an address: {url[:100]}")
        try:
            is_kept = self._use(parts)
            try:
                reply = self._ask(method, parts, url, headers)
            except (OSError, http.client.HTTPException):
                if not is_kept or self._stop.cancelled:
                    raise
                self.close()  # the other side may have closed a connection that was idle
                self._use(parts)
                reply = self._ask(method, parts, url, headers)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            self.close()
            if self._stop.cancelled:
                raise Cancelled from error
            raise from_transport(error, url) from error
        self._reply = reply
        return reply

    def abort(self) -> None:
        """Wake whoever waits for this connection; they find it closed. Thread: any."""
        with self._lock:
            sock = self._connection.sock if self._connection is not None else None
            if sock is not None:
                try:
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
                except OSError:
                    return  # it is closed already

    def close(self) -> None:
        with self._lock:
            connection, self._connection, self._reply = self._connection, None, None
        if connection is not None:
            connection.close()

    def _use(self, parts: SplitResult) -> bool:
        """Connect, unless the connection that is there can be used. Returns whether it is."""
        place = (parts.scheme, parts.netloc)
        if self._connection is not None and self._place == place and (self._reply is None or self._reply.is_read):
            return True
        self.close()
        connection = _connection(parts)
        with self._lock:
            self._connection, self._place = connection, place
        if self._stop.cancelled:
            raise Cancelled
        connection.connect()
        connection.sock.settimeout(self._stall_s)
        return False

    def _ask(self, method: str, parts: SplitResult, url: str, headers: Mapping[str, str]) -> Reply:
        connection = self._connection
        if connection is None or connection.sock is None:
            raise ConnectionResetError("closed meanwhile")
        path = url.partition("#")[0] if isinstance(connection, _PlainProxy) else _path(parts)
        lines = {
            "Host": parts.netloc.rpartition("@")[2],
            "User-Agent": USER_AGENT,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            **(connection.headers if isinstance(connection, _PlainProxy) else {}),
            **headers,
        }
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        connection.sock.sendall(head.encode("ascii") + b"\r\n")
        return _read_reply(connection.sock, method, url)


def _read_reply(sock: socket.socket, method: str, url: str) -> Reply:
    data = b""
    while True:
        status, headers, data = _read_head(sock, url, data)
        if status >= http.HTTPStatus.OK:
            break  # 100 and 103 only announce the real answer
    if (headers.get("content-encoding") or "identity").strip().lower() not in ("", "identity"):
        raise bad_answer(url, "It compresses its answer, which it was asked not to do.")
    return Reply(url, status, headers, _body(sock, method, status, headers, data, url))


def _read_head(sock: socket.socket, url: str, data: bytes) -> tuple[int, Headers, bytes]:
    while (end := data.find(b"\r\n\r\n")) < 0:
        if len(data) > _MAX_HEAD_BYTES:
            raise bad_answer(url, "The headers do not end.")
        piece = sock.recv(_HEAD_READ_BYTES)
        if not piece:
            raise ConnectionResetError("closed before it answered")
        data += piece
    status = _STATUS.match(data)
    if status is None:
        raise bad_answer(url, data[:100].decode(errors="replace"))
    headers = http.client.parse_headers(io.BytesIO(data[status.end() : end + 4]))
    return int(status[1]), headers, data[end + 4 :]


class _Body(Protocol):
    @property
    def length(self) -> int | None: ...

    @property
    def is_read(self) -> bool: ...

    def readinto(self, view: memoryview) -> int: ...


class _Bytes:
    """What has been read beyond the head, then the socket."""

    def __init__(self, sock: socket.socket, data: bytes) -> None:
        self._sock = sock
        self._data = memoryview(data)

    def readinto(self, view: memoryview) -> int:
        if not self._data:
            return self._sock.recv_into(view)
        n_bytes = min(len(view), len(self._data))
        view[:n_bytes] = self._data[:n_bytes]
        self._data = self._data[n_bytes:]
        return n_bytes


class _Counted:
    """A body whose length is told, or that ends with the connection (``length`` None)."""

    def __init__(self, source: _Bytes, length: int | None, *, is_kept: bool) -> None:
        self.length = length
        self._source = source
        self._left = length
        self._is_kept = is_kept

    @property
    def is_read(self) -> bool:
        return self._left == 0 and self._is_kept

    def readinto(self, view: memoryview) -> int:
        if self._left is None:
            return self._source.readinto(view)
        if self._left == 0:
            return 0
        n_bytes = self._source.readinto(view[: self._left])
        if n_bytes == 0:
            raise ConnectionResetError(f"closed {self._left} bytes before its end")
        self._left -= n_bytes
        return n_bytes


class _Chunked:
    """A body in chunks, as some proxies send what had a length."""

    length = None

    def __init__(self, source: _Bytes, url: str, *, is_kept: bool) -> None:
        self._source = source
        self._url = url
        self._is_kept = is_kept
        self._left = 0
        self._is_first = True
        self._is_over = False

    @property
    def is_read(self) -> bool:
        return self._is_over and self._is_kept

    def readinto(self, view: memoryview) -> int:
        if self._left == 0 and not self._is_over:
            self._next_chunk()
        if self._is_over:
            return 0
        n_bytes = self._source.readinto(view[: self._left])
        if n_bytes == 0:
            raise ConnectionResetError("closed within a chunk")
        self._left -= n_bytes
        return n_bytes

    def _next_chunk(self) -> None:
        if not self._is_first:
            self._line()
        self._is_first = False
        size = self._line().partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", size):
            raise bad_answer(self._url, f"the length of a chunk: {size[:20]!r}")
        self._left = int(size, 16)
        if self._left == 0:
            while self._line():
                pass  # trailers
            self._is_over = True

    def _line(self) -> bytes:
        line = bytearray()
        letter = memoryview(bytearray(1))
        while not line.endswith(b"\n"):
            if len(line) > _MAX_HEAD_BYTES or not self._source.readinto(letter):
                raise ConnectionResetError("closed within a chunk")
            line += letter
        return bytes(line).strip()


def _body(sock: socket.socket, method: str, status: int, headers: Headers, data: bytes, url: str) -> _Body:
    is_kept = "close" not in (headers.get("connection") or "").lower()
    source = _Bytes(sock, data)
    if method == "HEAD" or status in (http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_MODIFIED):
        return _Counted(source, 0, is_kept=is_kept)
    if "chunked" in (headers.get("transfer-encoding") or "").lower():
        return _Chunked(source, url, is_kept=is_kept)
    length = (headers.get("content-length") or "").strip()
    if not length:
        return _Counted(source, None, is_kept=False)
    if not re.fullmatch(r"[0-9]{1,19}", length):
        raise bad_answer(url, f"content-length: {length[:40]}")
    return _Counted(source, int(length), is_kept=is_kept)


def _path(parts: SplitResult) -> str:
    path = parts.path or "/"
    return f"{path}?{parts.query}" if parts.query else path


def _connection(parts: SplitResult) -> http.client.HTTPConnection:
    """Not yet connected, through the proxy of the system where there is one. Raises HubError."""
    host, port = parts.hostname or "", parts.port
    proxy = _proxy(parts)
    if proxy is None:
        return _direct(parts.scheme, host, port)
    authority = _split_proxy(proxy)
    headers = _proxy_headers(authority)
    proxy_host, proxy_port = authority.hostname or "", authority.port or 8080
    if parts.scheme == "http":
        return _PlainProxy(proxy_host, proxy_port, headers)
    connection = _direct(parts.scheme, proxy_host, proxy_port)
    connection.set_tunnel(host, port or 443, headers)
    return connection


class _PlainProxy(http.client.HTTPConnection):
    """Without TLS a proxy is asked for the whole address."""

    def __init__(self, host: str, port: int, headers: Mapping[str, str]) -> None:
        super().__init__(host, port, timeout=CONNECT_S)
        self.headers = headers


def _direct(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=CONNECT_S, context=tls())
    return http.client.HTTPConnection(host, port, timeout=CONNECT_S)


def _proxy(parts: SplitResult) -> str | None:
    """This machine's own servers are never asked through one."""
    host = parts.hostname or ""
    if is_loopback(f"{parts.scheme}://{parts.netloc}") or proxy_bypass(host):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def _split_proxy(proxy: str) -> SplitResult:
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme != "http":
        raise proxy_error(f"Hearth cannot use a proxy of the kind {parts.scheme}.")
    try:
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError as error:
        raise proxy_error("The address of the proxy has no valid port.") from error
    return parts


def _proxy_headers(authority: SplitResult) -> dict[str, str]:
    if authority.username is None:
        return {}
    credentials = f"{unquote(authority.username)}:{unquote(authority.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(credentials.encode()).decode()}"}


@cache
def tls() -> ssl.SSLContext:
    """Trusts what this system trusts, and what Mozilla does where the system has no list of its own."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
