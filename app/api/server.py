"""The API on a socket: uvicorn, set up to write tokens with little between, and to end in order."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psutil
import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import HANDLED_SIGNALS

from app.api.guard import LOOPBACK_NAMES, Access, is_loopback
from engine.errors import KnownError

_BACKLOG = 128
_KEEP_ALIVE_S = 60
_END_TIMEOUT_S = 2
_WILDCARDS = frozenset({"0.0.0.0", "::"})


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
        address = _own_address() if self.address in _WILDCARDS else self.address
        host = f"[{address}]" if ":" in address else address
        return f"http://{host}:{self.socket.getsockname()[1]}/v1"

    def access(self, key: str | None) -> Access:
        """What clients may call this server by."""
        names = {self.host.lower(), self.address}
        if not self.is_local:
            own_name = socket.gethostname().lower()
            names |= {own_name, f"{own_name}.local"}
        return Access(key, LOOPBACK_NAMES | names, any_address=self.address in _WILDCARDS)


class ApiServer(uvicorn.Server):
    """Runs until :meth:`stop`, Ctrl+C or SIGTERM. ``before_end`` is called once, before connections are waited for."""

    def __init__(self, app: ASGIApp, before_end: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",  # costs 2 µs more for a chunk than httptools, and bounds the size of the headers
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

    def stop(self) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._before_end()
        await super().shutdown(sockets)

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
    """The first address that others could reach this machine by."""
    for addresses in psutil.net_if_addrs().values():
        for found in addresses:
            if found.family is socket.AF_INET and not is_loopback(found.address):
                return found.address
    return "127.0.0.1"


def _cannot_bind(error: OSError, host: str, port: int) -> KnownError:
    if error.errno == errno.EADDRINUSE:
        return KnownError(f"Port {port} is in use by another program.", "Choose another one with --port.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return KnownError(f"Port {port} may not be used by this user.", "Choose one above 1023 with --port.")
    return KnownError(f"The server cannot listen on {host}: {error.strerror}.", "Check --host and --port.")
