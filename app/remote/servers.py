"""The list of servers that the user added, in one small file, and their keys, which are elsewhere."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import msgspec

from app.files import set_aside, storage_error, write_atomically
from app.remote.address import host_of, server_address
from app.remote.keys import KeyChain, Keyring, checked_key
from app.remote.loop import LoopThread
from app.remote.types import Connection, KeyPlace, OfferedModel, RemoteModel, RemoteServer
from engine.errors import ErrorInfo, InvalidRequest, KnownError, ModelFileError

_log = logging.getLogger(__name__)

_FILE_NAME = "servers.json"
_KEYS_NAME = "server-keys.json"
MAX_NAME_CHARS = 80
MAX_MODELS = 1000


class _File(msgspec.Struct, frozen=True):
    servers: tuple[RemoteServer, ...] = ()


class RemoteServers:
    """Thread: any. What reads or changes keys waits for the disk, or for a person at the keyring."""

    def __init__(self, folder: Path, loop: LoopThread, keyring: Keyring | None = None) -> None:
        """Reads the list from ``folder``, which need not be there. ``problem`` tells why it could not be read.

        Without ``keyring`` it is the system's. Whoever made ``loop`` closes it.
        """
        self._loop = loop
        self._path = folder / _FILE_NAME
        self._keys = KeyChain(folder / _KEYS_NAME, keyring)
        self._lock = threading.Lock()
        self._servers, self.problem = _read(self._path)

    def __iter__(self) -> Iterator[RemoteServer]:
        return iter(self._servers)

    def models(self) -> list[RemoteModel]:
        """Every model of every server, by the servers' names."""
        servers = sorted(self._servers, key=lambda server: (server.name.casefold(), server.id))
        return [RemoteModel(server, name) for server in servers for name in server.models]

    def find(self, model_id: str) -> RemoteModel:
        """Raises ModelFileError."""
        for model in self.models():
            if model.id == model_id:
                return model
        raise ModelFileError("This model's server is not in the list any more.", "Choose another model.")

    def connection(self, model_id: str) -> tuple[Connection, str]:
        """How to reach a model's server, with its key, and the model's name there. Raises KnownError."""
        model = self.find(model_id)
        return Connection(model.server.name, model.server.address, self._keys.get(model.server)), model.model

    def ask(self, to: Connection) -> Future[tuple[OfferedModel, ...]]:
        """Which models a server offers. Returns at once; cancelling the future hangs up. It fails with RemoteError."""
        return self._loop.run(_offered_models(to))

    def key_of(self, server: RemoteServer) -> str | None:
        """Raises KnownError where it cannot be read."""
        return self._keys.get(server)

    def save(self, draft: RemoteServer, key: str | None, place: KeyPlace = KeyPlace.KEYRING) -> RemoteServer:
        """Add a server (an empty ``id`` makes a new one) or replace it, and keep its key in ``place``.

        Raises InvalidRequest, KeyringUnavailable and StorageError; nothing is changed then.
        """
        with self._lock:
            former = next((server for server in self._servers if server.id == draft.id), None)
            server = _checked(draft, KeyPlace.NONE if key is None else place)
            if key is not None:
                self._keys.put(server, key)
            others = [known for known in self._servers if known.id != server.id]
            self._replace((*others, server))
            if former is not None and former.key_place is not server.key_place:
                self._keys.forget(former)
            return server

    def remove(self, server_id: str) -> None:
        """Forget a server and its key. Raises StorageError."""
        with self._lock:
            gone = [server for server in self._servers if server.id == server_id]
            self._replace(tuple(server for server in self._servers if server.id != server_id))
            for server in gone:
                self._keys.forget(server)

    def _replace(self, servers: tuple[RemoteServer, ...]) -> None:
        try:
            write_atomically(self._path, msgspec.json.format(msgspec.json.encode(_File(servers))))
        except OSError as error:
            raise storage_error(error, self._path) from error
        self._servers = servers


async def _offered_models(to: Connection) -> tuple[OfferedModel, ...]:
    """What needs httpx is imported with the first question."""
    from app.remote.offers import offered_models

    return await offered_models(to)


def connection_to(address: str, key: str, name: str = "") -> Connection:
    """From what a person typed, before anything is kept. Raises InvalidRequest."""
    normal = server_address(address)
    return Connection(name.strip() or host_of(normal), normal, checked_key(key))


def _checked(draft: RemoteServer, place: KeyPlace) -> RemoteServer:
    """Raises InvalidRequest."""
    name = " ".join(draft.name.split()) or host_of(draft.address)
    if len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise InvalidRequest("The name is too long.", f"Use at most {MAX_NAME_CHARS} characters.")
    if not draft.models:
        raise InvalidRequest("No model is chosen.", "Choose at least one.")
    if len(draft.models) > MAX_MODELS:
        raise InvalidRequest("These are too many models.", f"Choose at most {MAX_MODELS}.")
    models = tuple(dict.fromkeys(draft.models))
    return RemoteServer(draft.id or uuid.uuid4().hex[:12], name, server_address(draft.address), models, place)


def _read(path: Path) -> tuple[tuple[RemoteServer, ...], ErrorInfo | None]:
    try:
        servers = msgspec.json.decode(path.read_bytes(), type=_File).servers
    except FileNotFoundError:
        return (), None
    except OSError as error:
        return (), ErrorInfo.of(storage_error(error, path))
    except (ValueError, RecursionError) as error:
        return (), _keep_aside(path, str(error))
    return tuple(server for server in servers if _is_usable(server)), None


def _is_usable(server: RemoteServer) -> bool:
    """Somebody may have edited the file; one bad entry does not cost the others."""
    try:
        return bool(server.id) and ":" not in server.id and server_address(server.address) == server.address
    except KnownError as error:
        _log.warning("a server in the list cannot be used: %s", error)
        return False


def _keep_aside(path: Path, detail: str) -> ErrorInfo:
    text = f"The list of servers in {path} cannot be read."
    try:
        kept = set_aside(path)
    except OSError as error:
        _log.warning("a damaged list of servers stays in place: %s", error)
        return ErrorInfo("StorageError", text, "Add them again.", detail)
    return ErrorInfo("StorageError", text, f"Add them again. The old list is kept as {kept.name}.", detail)
