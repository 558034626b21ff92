"""A server that speaks the hub's protocol on loopback, and a second host with the bytes; with faults at will."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

COMMIT = "a" * 40
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_PIECE = 64 << 10
_FALLBACK_LIMIT = 1000


@dataclass
class Heard:
    """One request as it arrived, and how many bytes of a body went out for it."""

    host: str
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    status: int = 0
    n_sent: int = 0


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request for bytes. Offsets count bytes of the answer's body."""

    drop_after: int | None = None
    stall_after: int | None = None
    truncate_to: int | None = None
    corrupt: bool = False
    etag: str | None = None
    ignore_range: bool = False
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class HubFile:
    """``lfs`` are large files: they have a hash in the record and lie on the other host."""

    source: bytes | Path
    lfs: bool = True
    claimed_sha256: str | None = None

    @property
    def size(self) -> int:
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    @property
    def sha256(self) -> str:
        if self.claimed_sha256 is not None:
            return self.claimed_sha256
        assert isinstance(self.source, bytes)
        return hashlib.sha256(self.source).hexdigest()

    def read(self, start: int, n_bytes: int) -> bytes:
        if isinstance(self.source, bytes):
            return self.source[start : start + n_bytes]
        with self.source.open("rb") as file:
            file.seek(start)
            return file.read(n_bytes)


@dataclass
class HubRepo:
    """``gated`` as the hub has it; ``refusal`` is what who may not see the files is told: code and message."""

    id: str
    files: dict[str, HubFile] = field(default_factory=dict)
    gated: str | bool = False
    private: bool = False
    allowed_tokens: tuple[str, ...] = ()
    refusal: tuple[int, str, str] | None = None
    commit: str = COMMIT
    info: dict[str, Any] = field(default_factory=dict)

    def listed(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "modelId": self.id,
            "author": self.id.partition("/")[0],
            "sha": self.commit,
            "lastModified": "2026-01-02T03:04:05.000Z",
            "private": self.private,
            "gated": self.gated,
            "disabled": False,
            "downloads": 100,
            "likes": 10,
            "tags": ["gguf", "license:apache-2.0"],
            "pipeline_tag": "text-generation",
            **self.info,
        }

    def siblings(self, *, blobs: bool) -> list[dict[str, Any]]:
        return [self._sibling(path, file, blobs=blobs) for path, file in self.files.items()]

    @staticmethod
    def _sibling(path: str, file: HubFile, *, blobs: bool) -> dict[str, Any]:
        told: dict[str, Any] = {"rfilename": path}
        if blobs:
            told |= {"size": file.size, "blobId": "b" * 40}
            if file.lfs:
                told["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": 134}
        return told


@dataclass
class HubServer:
    """``faults`` strike one request for bytes each, in order; ``always`` every one. ``api_faults`` strike the API."""

    repos: dict[str, HubRepo] = field(default_factory=dict)
    faults: list[Fault | None] = field(default_factory=list)
    always: Fault | None = None
    api_faults: list[Fault] = field(default_factory=list)
    redirects: bool = True
    heard: list[Heard] = field(default_factory=list)
    accounts: dict[str, str] = field(default_factory=dict)
    gone: threading.Event = field(default_factory=threading.Event)
    on_bytes: Callable[[Heard], None] = lambda heard: None
    hub_address: tuple[str, int] = ("", 0)
    bytes_address: tuple[str, int] = ("", 0)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def endpoint(self) -> str:
        return f"http://{self.hub_address[0]}:{self.hub_address[1]}"

    @property
    def byte_requests(self) -> list[Heard]:
        host = f"{self.bytes_address[0]}:{self.bytes_address[1]}"
        return [heard for heard in self.heard if heard.host == host and heard.method == "GET"]

    @property
    def n_sent(self) -> int:
        """Bytes of files that went out."""
        return sum(heard.n_sent for heard in self.byte_requests)

    def add(self, repo_id: str, files: dict[str, bytes | HubFile], **options: Any) -> HubRepo:
        made = {
            path: file if isinstance(file, HubFile) else HubFile(file, lfs=path.endswith((".gguf", ".safetensors")))
            for path, file in files.items()
        }
        repo = HubRepo(repo_id, made, **options)
        self.repos[repo_id] = repo
        return repo

    @contextmanager
    def running(self) -> Iterator[HubServer]:
        hub, store = self._server("127.0.0.1", self._api), self._server("127.0.0.2", self._bytes)
        self.hub_address, self.bytes_address = _address(hub), _address(store)
        threads = [
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}) for server in (hub, store)
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.gone.set()
            for server in (hub, store):
                server.shutdown()
            for thread in threads:
                thread.join()
            for server in (hub, store):
                server.server_close()

    def _server(self, host: str, answer: Callable[[_Handler, Heard], None]) -> ThreadingHTTPServer:
        double = self

        class Handler(_Handler):
            def do_GET(self) -> None:
                double._hear(self, answer)

            do_HEAD = do_GET

        try:
            return _Server((host, 0), Handler)
        except OSError:  # some systems have one loopback address only; another port is another host as well
            return _Server(("127.0.0.1", 0), Handler)

    def _hear(self, handler: _Handler, answer: Callable[[_Handler, Heard], None]) -> None:
        parts = urlsplit(handler.path)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        host = "{}:{}".format(*handler.server.server_address[:2])
        heard = Heard(host, handler.command, unquote(parts.path), parse_qs(parts.query), headers)
        with self._lock:
            self.heard.append(heard)
        answer(handler, heard)

    def _api(self, handler: _Handler, heard: Heard) -> None:
        with self._lock:
            fault = self.api_faults.pop(0) if self.api_faults else None
        if fault is not None and fault.status is not None:
            handler.answer(heard, fault.status, b'{"error": "as told"}', fault.headers)
        elif heard.path == "/api/whoami-v2":
            self._who(handler, heard)
        elif heard.path == "/api/models":
            self._search(handler, heard)
        elif heard.path.startswith("/api/models/"):
            self._info(handler, heard)
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", heard.path):
            self._resolve(handler, heard, found[1], found[2], found[3])
        else:
            handler.refuse(heard, 404, "", "Not found")

    def _who(self, handler: _Handler, heard: Heard) -> None:
        name = self.accounts.get(_token(heard) or "")
        if name is None:
            handler.refuse(heard, 401, "", "Invalid credentials in Authorization header")
        else:
            handler.json(heard, {"type": "user", "name": name})

    def _search(self, handler: _Handler, heard: Heard) -> None:
        """As the hub: every word of the text, author, tags, task, order, limit."""
        query = heard.query
        words = query.get("search", [""])[0].lower().split()
        found = [repo.listed() for repo in self.repos.values()]
        found = [repo for repo in found if all(word in repo["id"].lower() for word in words)]
        for author in query.get("author", []):
            found = [repo for repo in found if repo["author"] == author]
        for tag in query.get("filter", []):
            found = [repo for repo in found if tag in repo["tags"]]
        for task in query.get("pipeline_tag", []):
            found = [repo for repo in found if repo["pipeline_tag"] == task]
        order = query.get("sort", ["trendingScore"])[0]
        found.sort(key=lambda repo: str(repo.get(order, 0)).zfill(12), reverse=True)
        handler.json(heard, found[: int(query.get("limit", [str(_FALLBACK_LIMIT)])[0])])

    def _info(self, handler: _Handler, heard: Heard) -> None:
        path = heard.path.removeprefix("/api/models/")
        repo_id, _, rest = path.partition("/revision/")
        is_check = repo_id.endswith("/auth-check")
        repo = self.repos.get(repo_id.removesuffix("/auth-check"))
        if repo is None or (repo.private and _token(heard) not in repo.allowed_tokens):
            handler.refuse(heard, 401 if _token(heard) is None else 404, "RepoNotFound", "Repository not found")
        elif rest and rest not in ("main", repo.commit):
            handler.refuse(heard, 404, "RevisionNotFound", f"Invalid rev id: {rest}")
        elif is_check and self._is_refused(handler, heard, repo):
            return
        elif is_check:
            handler.json(heard, {})
        else:
            blobs = "blobs" in heard.query
            handler.json(heard, {**repo.listed(), "siblings": repo.siblings(blobs=blobs)})

    def _is_refused(self, handler: _Handler, heard: Heard, repo: HubRepo) -> bool:
        token = _token(heard)
        if not (repo.gated or repo.private) or token in repo.allowed_tokens:
            return False
        if repo.refusal is not None:
            handler.refuse(heard, *repo.refusal)
        elif token is None:
            handler.refuse(heard, 401, "GatedRepo", f"Access to model {repo.id} is restricted. Please log in.")
        else:
            message = f"Access to model {repo.id} is restricted and you are not in the authorized list."
            handler.refuse(heard, 403, "GatedRepo", message)
        return True

    def _resolve(self, handler: _Handler, heard: Heard, repo_id: str, revision: str, path: str) -> None:
        repo = self.repos.get(repo_id)
        if repo is None:
            handler.refuse(heard, 401, "RepoNotFound", "Repository not found")
            return
        if revision not in ("main", repo.commit):
            handler.refuse(heard, 404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        if self._is_refused(handler, heard, repo):
            return
        file = repo.files.get(path)
        if file is None:
            handler.refuse(heard, 404, "EntryNotFound", "Entry not found")
        elif file.lfs and self.redirects:
            handler.answer(
                heard,
                302,
                b"",
                {
                    "Location": "http://{}:{}/{}".format(*self.bytes_address, quote(f"{repo_id}/{path}?signed=1")),
                    "X-Repo-Commit": repo.commit,
                    "X-Linked-Etag": f'"{file.sha256}"',
                    "X-Linked-Size": str(file.size),
                },
            )
        else:
            self._send(handler, heard, file, {"X-Repo-Commit": repo.commit})

    def _bytes(self, handler: _Handler, heard: Heard) -> None:
        found = re.fullmatch(r"/([^/]+/[^/]+)/(.+)\?signed=1", heard.path)
        repo = self.repos.get(found[1]) if found else None
        file = repo.files.get(found[2]) if repo is not None and found else None
        if file is None:
            handler.refuse(heard, 403, "", "")
        else:
            self._send(handler, heard, file, {})

    def _send(self, handler: _Handler, heard: Heard, file: HubFile, headers: dict[str, str]) -> None:
        with self._lock:
            fault = (self.faults.pop(0) if self.faults else self.always) if heard.method == "GET" else None
        fault = fault or Fault()
        if fault.status is not None:
            handler.answer(heard, fault.status, b"", {**headers, **fault.headers})
            return
        etag = fault.etag or f'"{file.sha256[:32]}"'
        asked = _RANGE.fullmatch(heard.headers.get("range", ""))
        same = heard.headers.get("if-range", etag) == etag
        start, end = 0, file.size
        is_range = asked is not None and same and not fault.ignore_range
        if asked is not None and is_range:
            start, end = int(asked[1]), min(int(asked[2] or file.size - 1) + 1, file.size)
            if start >= file.size:
                handler.answer(heard, 416, b"", {"Content-Range": f"bytes */{file.size}"})
                return
            headers = {**headers, "Content-Range": f"bytes {start}-{end - 1}/{file.size}"}
        length = end - start if fault.truncate_to is None else min(end - start, fault.truncate_to)
        handler.head(heard, 206 if is_range else 200, {**headers, "ETag": etag, "Content-Length": str(length)})
        if heard.method == "GET":
            self._pour(handler, heard, file, (start, start + length), fault)

    def _pour(self, handler: _Handler, heard: Heard, file: HubFile, span: tuple[int, int], fault: Fault) -> None:
        position, end = span
        while position < end:
            sent = position - span[0]
            if fault.drop_after is not None and sent >= fault.drop_after:
                handler.hang_up()
                return
            if fault.stall_after is not None and sent >= fault.stall_after:
                self.gone.wait(60)
                handler.hang_up()
                return
            limits = [limit - sent for limit in (fault.drop_after, fault.stall_after) if limit is not None]
            piece = bytearray(file.read(position, min(_PIECE, end - position, *limits)))
            if fault.corrupt:
                piece[0] ^= 0xFF
            handler.wfile.write(piece)
            handler.wfile.flush()
            position += len(piece)
            heard.n_sent += len(piece)
            self.on_bytes(heard)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def head(self, heard: Heard, status: int, headers: dict[str, str]) -> None:
        heard.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def answer(self, heard: Heard, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.head(heard, status, {**headers, "Content-Length": str(len(body))})
        if heard.method != "HEAD":
            self.wfile.write(body)

    def json(self, heard: Heard, data: Any) -> None:
        self.answer(heard, 200, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def refuse(self, heard: Heard, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": message, "Content-Type": "application/json"}
        self.answer(heard, status, json.dumps({"error": message}).encode(), headers)

    def hang_up(self) -> None:
        """In the middle of an answer, as a router does that forgets the connection."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(2)

    def log_message(self, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients of these tests hang up, as they are meant to."""


def _address(server: ThreadingHTTPServer) -> tuple[str, int]:
    host, port = server.server_address[:2]
    return str(host), int(port)


def _token(heard: Heard) -> str | None:
    value = heard.headers.get("authorization", "")
    return value.removeprefix("Bearer ") if value else None


def random_bytes(n_bytes: int, seed: int = 0) -> bytes:
    """The same ones every time."""
    import random

    return random.Random(seed).randbytes(n_bytes)


def sparse_file(path: Path, n_bytes: int) -> Path:
    with path.open("wb") as file:
        os.truncate(file.fileno(), n_bytes)
    return path
