"""Keys of servers: in the system's keyring, else where the user says. Never in the list of servers."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Protocol

import msgspec

from app.files import storage_error, write_atomically
from app.remote.types import KeyPlace, RemoteServer
from engine.errors import InvalidRequest, KnownError

_log = logging.getLogger(__name__)

SERVICE = "Hearth"
"""What the keys stand under in the keyring; the user name is the server's id."""

MAX_KEY_CHARS = 4096
_OTHERS = 0o077


class KeyringUnavailable(KnownError):
    """The key must go somewhere else, or the user must unlock or install something first."""

    def __init__(self, reason: str) -> None:
        super().__init__("This system offers no keyring that the key could be kept in.", reason)


class Keyring(Protocol):
    """What is needed of the module ``keyring``. May block, and raise anything: its backends are plug-ins."""

    def get_password(self, service_name: str, username: str) -> str | None: ...

    def set_password(self, service_name: str, username: str, password: str) -> None: ...

    def delete_password(self, service_name: str, username: str) -> None: ...


class KeyChain:
    """Thread: any; methods wait for the disk, and for a person where the keyring asks one to unlock it."""

    def __init__(self, file: Path, keyring: Keyring | None = None) -> None:
        """Without ``keyring`` it is the system's, which is looked for when it is needed first."""
        self._file = file
        self._given_keyring = keyring
        self._run: dict[str, str] = {}
        self._lock = threading.Lock()

    def get(self, server: RemoteServer) -> str | None:
        """Raises KnownError where there should be a key and is none."""
        match server.key_place:
            case KeyPlace.NONE:
                return None
            case KeyPlace.KEYRING:
                key = self._get_from_keyring(server)
                reason = f"The key of {server.name} is not in the system's keyring any more."
            case KeyPlace.FILE:
                key = self._read_file().get(server.id)
                reason = f"The key of {server.name} is not in {self._file} any more."
            case KeyPlace.RUN:
                key = self._run.get(server.id)
                reason = f"The key of {server.name} was kept until Hearth ended."
        if key is None:
            raise KnownError(reason, "Edit the server, and enter its key again.")
        return key

    def put(self, server: RemoteServer, key: str) -> None:
        """Keep a key in the server's ``key_place``. Raises KeyringUnavailable, StorageError."""
        match server.key_place:
            case KeyPlace.KEYRING:
                self._put_into_keyring(server.id, key)
            case KeyPlace.FILE:
                self._change_file(server.id, key)
            case KeyPlace.RUN:
                self._run[server.id] = key
            case KeyPlace.NONE:
                raise InvalidRequest("A key must be kept somewhere.")

    def forget(self, server: RemoteServer) -> None:
        """Delete a key from where it is. Raises StorageError; a keyring that refuses is only logged."""
        match server.key_place:
            case KeyPlace.KEYRING:
                self._delete_from_keyring(server.id)
            case KeyPlace.FILE:
                self._change_file(server.id, None)
            case KeyPlace.RUN:
                self._run.pop(server.id, None)

    def _keyring(self) -> Keyring:
        if self._given_keyring is None:
            import keyring

            self._given_keyring = keyring
        return self._given_keyring

    def _get_from_keyring(self, server: RemoteServer) -> str | None:
        try:
            return self._keyring().get_password(SERVICE, server.id)
        except Exception as error:
            _log.warning("a key cannot be read from the keyring: %s", type(error).__name__)
            text = f"The key of {server.name} cannot be read: the system's keyring is locked or not there."
            raise KnownError(text, "Unlock the keyring, or edit the server and enter its key again.") from error

    def _put_into_keyring(self, server_id: str, key: str) -> None:
        """Some backends take everything and keep nothing, so it is read back."""
        try:
            self._keyring().set_password(SERVICE, server_id, key)
            is_kept = self._keyring().get_password(SERVICE, server_id) == key
        except Exception as error:
            _log.warning("the keyring does not take a key: %s", type(error).__name__)
            raise KeyringUnavailable("It is locked, or no program here provides one.") from error
        if not is_kept:
            raise KeyringUnavailable("The one that is set up does not keep anything.")

    def _delete_from_keyring(self, server_id: str) -> None:
        try:
            self._keyring().delete_password(SERVICE, server_id)
        except Exception as error:  # noqa: BLE001 - plug-ins by strangers; the server is to go all the same
            _log.warning("a key stays in the keyring: %s", type(error).__name__)

    def _read_file(self) -> dict[str, str]:
        """Raises StorageError."""
        try:
            if os.name == "posix" and self._file.stat().st_mode & _OTHERS:
                self._file.chmod(0o600)
                _log.warning("the file with the keys of servers could be read by others; it no longer can")
            return msgspec.json.decode(self._file.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise storage_error(error, self._file) from error
        except (ValueError, RecursionError):
            _log.warning("the file with the keys of servers cannot be understood")
            return {}

    def _change_file(self, server_id: str, key: str | None) -> None:
        """The file is made readable for its owner alone from its first byte on. Raises StorageError."""
        with self._lock:
            keys = self._read_file()
            keys.pop(server_id, None)
            if key is not None:
                keys[server_id] = key
            try:
                if keys:
                    write_atomically(self._file, msgspec.json.encode(keys))
                else:
                    self._file.unlink(missing_ok=True)
            except OSError as error:
                raise storage_error(error, self._file) from error


def checked_key(typed: str) -> str | None:
    """A key as it may stand in a header; None for none. Raises InvalidRequest."""
    key = typed.strip().removeprefix("Bearer ").strip()
    if not key:
        return None
    if len(key) > MAX_KEY_CHARS or not key.isascii() or not key.isprintable() or " " in key:
        raise InvalidRequest("This is not a key.", "A key is one word of letters, digits and signs.")
    return key
