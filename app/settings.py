"""What a person chose, in one small JSON file."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, get_type_hints

import msgspec

from app.files import set_aside, storage_error, write_atomically
from engine.config import DraftMode, EngineConfig
from engine.errors import ErrorInfo, InvalidRequest
from engine.types import Overflow, SamplingParams

_logger = logging.getLogger(__name__)


class Theme(StrEnum):
    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True, slots=True)
class LoadWishes:
    """What a user fixed of how a model is loaded, as in ``engine.plan.Wishes``. None leaves it to the plan.

    ``kv_type`` is one of ``engine.config.KV_TYPES``.
    """

    n_ctx: int | None = None
    kv_type: str | None = None
    flash_attention: bool | None = None
    n_gpu_layers: int | None = None
    experts_on_cpu: int | None = None

    @property
    def is_automatic(self) -> bool:
        return self == LoadWishes()

    def problem(self) -> str | None:
        """The first value that is out of range, as a sentence, or None."""
        if self.experts_on_cpu is not None and self.experts_on_cpu < 0:
            return "experts_on_cpu must not be negative."
        return EngineConfig(n_ctx=self.n_ctx, n_gpu_layers=self.n_gpu_layers, kv_type_k=self.kv_type).problem()


@dataclass(frozen=True, slots=True)
class Settings:
    """``window_geometry`` is base64; ``loading_model`` is set while a model loads, so that a crash can be blamed on it.

    ``n_ctx`` is None for "as much as the model was trained for and the memory allows". ``cache_ram_bytes`` and
    ``cache_disk_bytes`` are what all conversations together may take there beyond the model's own memory.

    ``api_enabled`` is whether the local API is turned on at the start. Port 0 is any that is free. ``api_on_network``
    lets other machines in, and they always need the key; ``api_requires_key`` is about programs on this machine.
    ``api_origins`` are web pages that may call it, such as ``http://localhost:3000``. ``api_n_models`` counts those
    that are loaded for clients, besides the window's; each goes when nobody asked for it for ``api_idle_minutes``.

    ``hub_endpoint`` is where models are looked for; empty for HF_ENDPOINT or the hub itself. ``hub_mirrors`` give out
    the same files. ``download_bytes_per_s`` is for all downloads together, None for as fast as it goes.

    ``drafting`` is whether tokens are guessed ahead; ``n_drafted`` how many at a time where that is fixed.

    ``load_wishes`` are by model id, and only of models for which something is fixed.
    """

    theme: Theme = Theme.SYSTEM
    last_model: str | None = None
    selected_conversation: int | None = None
    window_geometry: str | None = None
    sidebar_width: int | None = None
    n_ctx: int | None = None
    temperature: float = 0.7
    system_prompt: str = ""
    loading_model: str | None = None
    cache_ram_bytes: int = 2 * 10**9
    cache_disk_bytes: int = 8 * 10**9
    overflow: Overflow = Overflow.ROLL
    pinned_conversations: tuple[int, ...] = ()
    api_enabled: bool = False
    api_port: int = 8080
    api_on_network: bool = False
    api_requires_key: bool = True
    api_origins: tuple[str, ...] = ()
    api_idle_minutes: int = 10
    api_n_models: int = 2
    hub_endpoint: str = ""
    hub_mirrors: tuple[str, ...] = ()
    download_bytes_per_s: int | None = None
    download_connections: int = 4
    load_wishes: dict[str, LoadWishes] = field(default_factory=dict)
    drafting: DraftMode = DraftMode.AUTOMATIC
    n_drafted: int = 4

    def problem(self) -> str | None:
        """The first value that is out of range, as a sentence, or None."""
        if self.cache_ram_bytes < 0 or self.cache_disk_bytes < 0:
            return "A budget cannot be less than nothing."
        wish_problems = (wishes.problem() for wishes in self.load_wishes.values())
        engine_problem = EngineConfig(n_ctx=self.n_ctx).problem() or next(filter(None, wish_problems), None)
        return engine_problem or SamplingParams(temperature=self.temperature).problem() or self._api_problem()

    def _api_problem(self) -> str | None:
        for name, value, low, high in (
            ("The port", self.api_port, 0, 65_535),
            ("The number of drafted tokens", self.n_drafted, 1, 15),
            ("The time until an idle model goes", self.api_idle_minutes, 1, 7 * 24 * 60),
            ("The number of models for clients", self.api_n_models, 0, 16),
            ("The number of connections", self.download_connections, 1, 16),
            ("The speed of downloads", self.download_bytes_per_s or MIN_DOWNLOAD_SPEED, MIN_DOWNLOAD_SPEED, 10**12),
        ):
            if not low <= value <= high:
                return f"{name} must lie between {low:,} and {high:,}."
        if len(self.api_origins) > _MAX_ORIGINS:
            return f"No more than {_MAX_ORIGINS} web pages can be listed."
        for origin in self.api_origins:
            if _ORIGIN.fullmatch(origin) is None:
                return f"{origin[:100]} is not the origin of a web page. One looks like http://localhost:3000."
        return None


MIN_DOWNLOAD_SPEED = 1000
_MAX_ORIGINS = 64
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]{0,31}://[a-z0-9._\[\]:-]{1,255}")
"""As browsers write it: a scheme (an app's own, too), a host in small letters, a port that is not the usual one.

No path, no ``null``, and no ``*``: with that one, every page could use what this machine serves.
"""


class Queues(Protocol):
    """What is needed of ``app.jobs.IoPool``."""

    def serial(self, name: str) -> Executor: ...


class SettingsStore:
    """The settings and their file. Thread: any.

    Changes count at once. They are written on a queue of ``io``, many at a time as one; without ``io`` the caller
    writes. What cannot be written stays in memory, is told by :attr:`problem`, and is tried again with the next
    change and by :meth:`flush`, which whoever owns the store calls at the end.
    """

    def __init__(self, path: Path, io: Queues | None = None) -> None:
        self._path = path
        self._executor = io.serial("settings") if io is not None else None
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._callbacks: list[Callable[[Settings], None]] = []
        self._current, self._read_problem = _read(path)
        self._write_problem: ErrorInfo | None = None
        self._version = self._written_version = 0
        self._write_queued = False

    @property
    def current(self) -> Settings:
        return self._current

    @property
    def problem(self) -> ErrorInfo | None:
        """Why the last write failed; else why the file could not be read at the start."""
        return self._write_problem or self._read_problem

    def update(self, **changes: Any) -> Settings:
        """Change settings by name and tell the subscribers, on this thread. Raises InvalidRequest for bad values."""
        with self._lock:
            settings = _checked(replace(self._current, **changes))
            if settings == self._current:
                return settings
            self._current = settings
            self._version += 1
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback(settings)
        self._queue_write()
        return settings

    def subscribe(self, callback: Callable[[Settings], None]) -> Callable[[], None]:
        """Call ``callback`` after each change, on the thread that made it. Returns what ends that."""
        with self._lock:
            self._callbacks.append(callback)

        def unsubscribe() -> None:
            with self._lock:
                self._callbacks.remove(callback)

        return unsubscribe

    def flush(self) -> None:
        """Write now, on this thread, what is not written yet. A failure is told by :attr:`problem`."""
        with self._write_lock:
            with self._lock:
                settings, version = self._current, self._version
                self._write_queued = False
            if version == self._written_version:
                return
            self._write_problem = self._write(settings)
            if self._write_problem is None:
                self._written_version = version

    def _queue_write(self) -> None:
        if self._executor is None:
            self.flush()
            return
        with self._lock:
            if self._write_queued:
                return
            self._write_queued = True
        try:
            self._executor.submit(self.flush)
        except RuntimeError:  # the pool is closed already: the program is ending
            self.flush()

    def _write(self, settings: Settings) -> ErrorInfo | None:
        try:
            write_atomically(self._path, msgspec.json.format(msgspec.json.encode(settings)))
        except OSError as error:
            _logger.warning("settings are not written: %s", error)
            return ErrorInfo.of(storage_error(error, self._path))
        return None


def _checked(settings: Settings) -> Settings:
    """The same settings as they will be read back (1 becomes 1.0), or InvalidRequest."""
    try:
        settings = msgspec.json.decode(msgspec.json.encode(settings), type=Settings)
    except (TypeError, ValueError) as error:  # msgspec's errors are ValueErrors, and so is text that is not Unicode
        raise InvalidRequest(f"This setting cannot be used: {error}.") from error
    if problem := settings.problem():
        raise InvalidRequest(problem)
    return settings


def _read(path: Path) -> tuple[Settings, ErrorInfo | None]:
    try:
        return _decode(path.read_bytes()), None
    except FileNotFoundError:
        return Settings(), None
    except OSError as error:
        return Settings(), ErrorInfo.of(storage_error(error, path))
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        return Settings(), _keep_aside(path, str(error))


def _keep_aside(path: Path, detail: str) -> ErrorInfo:
    text = f"The settings in {path} cannot be read, so Hearth starts with its defaults."
    try:
        kept = set_aside(path)
    except OSError as error:
        _logger.warning("a damaged settings file stays in place: %s", error)
        return ErrorInfo("StorageError", text, "", detail)
    return ErrorInfo("StorageError", text, f"The old file is kept as {kept.name}.", detail)


def _decode(data: bytes) -> Settings:
    """Take every value that can be used; one that cannot costs itself and not the others. Raises ValueError."""
    raw = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    hints = get_type_hints(Settings)
    settings = Settings()
    for name in (one.name for one in fields(Settings) if one.name in raw):
        try:
            settings = _checked(replace(settings, **{name: msgspec.json.decode(raw[name], type=hints[name])}))
        except (ValueError, RecursionError, InvalidRequest) as error:
            _logger.warning("the setting %s cannot be used: %s", name, error)
    return settings
