"""The list of files elsewhere that a person has added. The files themselves are never touched."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from app.files import set_aside, storage_error, write_atomically
from app.library.types import App, Origin
from engine.errors import ErrorInfo

_logger = logging.getLogger(__name__)


class Link(msgspec.Struct, frozen=True):
    """``name`` is what the app calls the model whose file it is. ``companions`` are files that it keeps with it."""

    id: str
    path: str
    name: str = ""
    app: App | None = None
    origin: Origin | None = None
    companions: tuple[str, ...] = ()


class _File(msgspec.Struct, frozen=True):
    linked: tuple[Link, ...] = ()


class LinkedFiles:
    """Thread: one at a time. ``problem`` tells why the list could not be read at the start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._links, self.problem = _read(path)

    def __iter__(self) -> Iterator[Link]:
        return iter(self._links)

    def add(self, links: Sequence[Link]) -> None:
        """Raises StorageError; nothing is added then."""
        self._replace((*self._links, *links))

    def remove(self, model_id: str) -> None:
        """Raises StorageError; nothing is removed then."""
        self._replace(tuple(link for link in self._links if link.id != model_id))

    def _replace(self, links: tuple[Link, ...]) -> None:
        try:
            write_atomically(self._path, msgspec.json.format(msgspec.json.encode(_File(links))))
        except OSError as error:
            raise storage_error(error, self._path) from error
        self._links = links


def _read(path: Path) -> tuple[tuple[Link, ...], ErrorInfo | None]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File).linked, None
    except FileNotFoundError:
        return (), None
    except OSError as error:
        return (), ErrorInfo.of(storage_error(error, path))
    except (ValueError, RecursionError) as error:
        return (), _keep_aside(path, str(error))


def _keep_aside(path: Path, detail: str) -> ErrorInfo:
    text = f"The list of added models in {path} cannot be read."
    try:
        kept = set_aside(path)
    except OSError as error:
        _logger.warning("a damaged list stays in place: %s", error)
        return ErrorInfo("StorageError", text, "Add them again.", detail)
    return ErrorInfo("StorageError", text, f"Add them again. The old list is kept as {kept.name}.", detail)
