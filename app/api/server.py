"""The API on a socket: uvicorn, set up to write tokens with little between, and to end in order."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import h11
import psutil
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import HANDLED_SIGNALS

from app.api.guard import LOOPBACK_NAMES, Access, is_loopback
from engine.errors import KnownError

_BACKLOG = 128
_KEEP_ALIVE_S = 60
_END_TIMEOUT_S = 2
HEADERS_TIMEOUT_S = 20.0
_MAX_CONNECTIONS = 512
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_WILDCARDS = frozenset(_LOOPBACK)


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that is bound to an address. ``host`` is what the user called it."""

    socket: socket.socket
    host: str

    @classmethod
    def bind(cls, host: str, port: int) -> Listener:
        """Take a port; 0 takes any that is free. Raises KnownError."""
        try:
            family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        except (OSError, UnicodeError) as error:
            raise KnownError(
                f"There is no address {host}.", "Name one of this machine's, such as 127.0.0.1."
            ) from error
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            if os.name == "posix":  # elsewhere this would let two servers share a port
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(_BACKLOG)  # now and not later, so that whoever gets a Listener has the port
        except OSError as error:
            bound.close()
            raise _cannot_bind(error, host, port) from error
        return cls(bound, host)

    @property
    def address(self) -> str:
        return str(self.socket.getsockname()[0])

    @property
    def is_local(self) -> bool:
        """Whether only programs on this machine can connect."""
        return is_loopback(self.address)

    @property
    def url(self) -> str:
        """Where clients find the API; for a server on all interfaces, an address that other machines can use."""
        return f"{self.root}/v1"

    @property
    def root(self) -> str:
        """The same without a path."""
        return self._root(_own_address() if self.address in _WILDCARDS else self.address)

    @property
    def own_root(self) -> str:
        """The same for programs on this machine."""
        return self._root(_LOOPBACK.get(self.address, self.address))

    def _root(self, address: str) -> str:
        host = f"[{address}]" if ":" in address else address
        return f"http://{host}:{self.socket.getsockname()[1]}"

    def access(self, key: str | None, origins: frozenset[str] = frozenset()) -> Access:
        """What clients may call this server by, and which web pages may."""
        names = {self.host.lower(), self.address}
        if not self.is_local:
            own_name = socket.gethostname().lower()
            names |= {own_name, f"{own_name}.local"}
        return Access(key, LOOPBACK_NAMES | names, any_address=self.address in _WILDCARDS, origins=origins)


class BoundedConnection(H11Protocol):
    """A connection that is closed where its headers do not come in time, or where there are too many connections.

    h11 bounds the size of the headers. Bodies have bounds of their own, in :mod:`app.api.body`.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        super().connection_made(transport)
        if len(self.connections) > max_connections():
            transport.abort()
        else:
            self._expect_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._expect_headers()
        else:
            self._stop_expecting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_expecting()
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        """The time starts with the first byte, and is not given again with the next."""
        if self._patience is None:
            self._patience = self.loop.call_later(HEADERS_TIMEOUT_S, self.transport.abort)

    def _stop_expecting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


def max_connections() -> int:
    """At most half of the files that the process may open: the window has files of its own."""
    if os.name != "posix":
        return _MAX_CONNECTIONS
    import resource

    soft_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(_MAX_CONNECTIONS, soft_limit // 2) if soft_limit != resource.RLIM_INFINITY else _MAX_CONNECTIONS


class ApiServer(uvicorn.Server):
    """Runs until :meth:`stop`, Ctrl+C or SIGTERM. ``before_end`` is called once, before connections are waited for."""

    def __init__(
        self, app: ASGIApp, before_end: Callable[[], None], on_started: Callable[[], None] = lambda: None
    ) -> None:
        """``on_started`` is called when clients can connect. Both are called on the event loop's thread."""
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedConnection,  # by h11, which costs 2 µs more for a chunk than httptools
                loop="asyncio",
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                log_level="critical",  # the application logs its own failures
                proxy_headers=False,
                server_header=False,
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_END_TIMEOUT_S,
            )
        )
        self._before_end = before_end
        self._on_started = on_started

    def stop(self) -> None:
        """Thread: any. It ends some tenths of a second later, or two seconds where a client does not read."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._before_end()
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):  # of clients that did not read to the end
            connection.transport.abort()
        await asyncio.sleep(0)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's own raises the signal once more at the end; here it is a wish that was fulfilled."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        former = {number: signal.signal(number, self.handle_exit) for number in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


def _own_address() -> str:
    """An address that others could reach this machine by: the one from which it would speak to the world, if any.

    To connect a datagram's socket looks the way up, and sends nothing.
    """
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    for addresses in psutil.net_if_addrs().values():
        for found in addresses:
            if found.family is socket.AF_INET and not is_loopback(found.address):
                return found.address
    return "127.0.0.1"


def _cannot_bind(error: OSError, host: str, port: int) -> KnownError:
    if error.errno == errno.EADDRINUSE:
        return KnownError(f"Port {port} is in use by another program.", "Choose another port.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return KnownError(f"Port {port} may not be used by this user.", "Choose a port above 1023.")
    return KnownError(f"The server cannot listen on {host}: {error.strerror}.", "Check the address and the port.")
