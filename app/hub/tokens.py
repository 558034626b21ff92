"""The hub's access token: in the system's keyring, else where the user says. One for each hub, for no other host."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from app.files import storage_error, write_atomically
from app.hub.endpoint import DEFAULT, VARIABLE, may_carry_token
from app.hub.types import Account, TokenPlace
from app.remote.keys import SERVICE, Keyring, KeyringUnavailable, checked_key
from engine.errors import InvalidRequest

_log = logging.getLogger(__name__)

TOKEN_FILE_NAME = "hub-token.json"
_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_OTHERS = 0o077


class TokenStore:
    """Thread: any; methods wait for the disk, and for a person where the keyring asks one to unlock it.

    What is kept by Hearth goes before what stands in the environment. The latter is for the hub that the environment
    means: the one in HF_ENDPOINT, or the hub itself.
    """

    def __init__(
        self,
        file: Path,
        keyring: Keyring | None = None,
        environ: Mapping[str, str] = os.environ,
        signed_in: Callable[[], str | None] | None = None,
    ) -> None:
        """Without ``keyring`` it is the system's. ``signed_in`` tells what the hub's own command line keeps."""
        self._file = file
        self._given_keyring = keyring
        self._environ = environ
        self._signed_in = signed_in or (lambda: _file_of_the_hub(environ))
        self._lock = threading.Lock()
        self._run: dict[str, str] = {}
        self._known: dict[str, tuple[TokenPlace, str | None]] = {}

    def token(self, endpoint: str) -> str | None:
        """None as well where it would be readable on the way."""
        return self._find(endpoint)[1] if may_carry_token(endpoint) else None

    def account(self, endpoint: str) -> Account:
        return Account(_host(endpoint), self._find(endpoint)[0])

    def put(self, endpoint: str, typed: str, place: TokenPlace) -> None:
        """Keep a token in place of the one before. Raises InvalidRequest, KeyringUnavailable, StorageError."""
        token = checked_key(typed)
        if token is None:
            raise InvalidRequest("There is no token.", "Paste the one that the hub's settings show you.")
        self.forget(endpoint)
        host = _host(endpoint)
        match place:
            case TokenPlace.KEYRING:
                self._put_into_keyring(host, token)
            case TokenPlace.FILE:
                self._change_file(host, token)
            case TokenPlace.RUN:
                with self._lock:
                    self._run[host] = token
            case _:
                raise InvalidRequest("A token must be kept somewhere.")
        with self._lock:
            self._known[host] = (place, token)

    def forget(self, endpoint: str) -> None:
        """Delete what Hearth keeps. Raises StorageError; a keyring that refuses is only logged."""
        host = _host(endpoint)
        with self._lock:
            self._known.pop(host, None)
            self._run.pop(host, None)
        self._change_file(host, None)
        try:
            if self._keyring().get_password(SERVICE, _user(host)) is not None:
                self._keyring().delete_password(SERVICE, _user(host))
        except Exception as error:  # noqa: BLE001 - plug-ins by strangers
            _log.info("no token is taken out of the keyring: %s", type(error).__name__)

    def _find(self, endpoint: str) -> tuple[TokenPlace, str | None]:
        host = _host(endpoint)
        with self._lock:
            known = self._known.get(host)
        if known is None:
            known = self._look(endpoint, host)
            with self._lock:
                self._known[host] = known
        return known

    def _look(self, endpoint: str, host: str) -> tuple[TokenPlace, str | None]:
        if token := self._run.get(host):
            return TokenPlace.RUN, token
        if token := self._read_file().get(host):
            return TokenPlace.FILE, token
        if token := self._get_from_keyring(host):
            return TokenPlace.KEYRING, token
        if host == _host(self._environ.get(VARIABLE) or DEFAULT) and (token := self._from_environment()):
            return TokenPlace.ENVIRONMENT, token
        return TokenPlace.NONE, None

    def _from_environment(self) -> str | None:
        for name in _TOKEN_VARIABLES:
            if value := self._environ.get(name, ""):
                return _usable(value)
        return _usable(self._signed_in() or "")

    def _keyring(self) -> Keyring:
        if self._given_keyring is None:
            import keyring

            self._given_keyring = keyring
        return self._given_keyring

    def _get_from_keyring(self, host: str) -> str | None:
        """A keyring that is locked or not there holds nothing: models that are open to all need no token."""
        try:
            return self._keyring().get_password(SERVICE, _user(host))
        except Exception as error:  # noqa: BLE001 - plug-ins by strangers
            _log.info("no token can be read from the keyring: %s", type(error).__name__)
            return None

    def _put_into_keyring(self, host: str, token: str) -> None:
        """Some backends take everything and keep nothing, so it is read back."""
        try:
            self._keyring().set_password(SERVICE, _user(host), token)
            is_kept = self._keyring().get_password(SERVICE, _user(host)) == token
        except Exception as error:
            _log.warning("the keyring does not take a token: %s", type(error).__name__)
            raise KeyringUnavailable("It is locked, or no program here provides one.") from error
        if not is_kept:
            raise KeyringUnavailable("The one that is set up does not keep anything.")

    def _read_file(self) -> dict[str, str]:
        """Raises StorageError."""
        try:
            if os.name == "posix" and self._file.stat().st_mode & _OTHERS:
                self._file.chmod(0o600)
                _log.warning("the file with the hub's token could be read by others; it no longer can")
            return msgspec.json.decode(self._file.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise storage_error(error, self._file) from error
        except (ValueError, RecursionError):
            _log.warning("the file with the hub's token cannot be understood")
            return {}

    def _change_file(self, host: str, token: str | None) -> None:
        """The file is made readable for its owner alone from its first byte on. Raises StorageError."""
        with self._lock:
            tokens = self._read_file()
            if token is None and host not in tokens:
                return
            tokens.pop(host, None)
            if token is not None:
                tokens[host] = token
            try:
                if tokens:
                    write_atomically(self._file, msgspec.json.encode(tokens))
                else:
                    self._file.unlink(missing_ok=True)
            except OSError as error:
                raise storage_error(error, self._file) from error


def _user(host: str) -> str:
    """The name in the keyring; servers elsewhere stand under their ids beside it."""
    return f"hub:{host}"


def _host(endpoint: str) -> str:
    return urlsplit(endpoint).netloc.lower()


def _usable(value: str) -> str | None:
    try:
        return checked_key(value)
    except InvalidRequest:
        _log.warning("the hub's token in the environment is not one")
        return None


def _file_of_the_hub(environ: Mapping[str, str]) -> str | None:
    """Where ``hf auth login`` keeps its token, as the documentation of huggingface_hub has it."""
    if path := environ.get("HF_TOKEN_PATH", ""):
        file = Path(path)
    elif home := environ.get("HF_HOME", ""):
        file = Path(home) / "token"
    else:
        cache = environ.get("XDG_CACHE_HOME", "") or os.path.join(os.path.expanduser("~"), ".cache")
        file = Path(cache) / "huggingface" / "token"
    try:
        return file.expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
