"""Which model is loaded, and what of that is remembered from one start to the next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from app.library import Library, ModelEntry
from app.partners import draft_config
from app.plans import Loader
from app.remote import RemoteModel, RemoteServers, is_remote
from app.settings import LoadWishes, Settings, SettingsStore
from engine.client import EngineClient
from engine.config import CacheConfig, EngineConfig, LoadSpec
from engine.errors import KnownError, ModelFileError
from engine.events import EngineFailed, Event, LoadFailed, ModelLoaded, ModelLoading, ModelUnloaded
from engine.plan import MemoryPlan
from engine.receipt import Receipt


class EngineSession:
    """Loads models of the library, and of servers elsewhere, into the engine with the user's settings.

    While a model loads, its name stands in the settings as ``loading_model``. A start that finds it there knows that
    the last run died over it, and leaves that model alone. Thread: any; methods that read the library block.
    """

    def __init__(
        self,
        engine: EngineClient,
        library: Library,
        settings: SettingsStore,
        kv_folder: Path | None = None,
        servers: RemoteServers | None = None,
        loader: Loader | None = None,
    ) -> None:
        """Pages of the KV cache that outlive the process go into ``kv_folder``; without one they do not.

        Without a ``loader`` nothing is planned, and llama.cpp chooses what goes where.
        """
        self._loader = loader
        self._receipt: Receipt | None = None
        self._kv_folder = kv_folder
        self._engine = engine
        self._library = library
        self._settings = settings
        self._lock = threading.Lock()
        self._servers = servers
        self._model: ModelEntry | RemoteModel | None = None
        self._unsubscribe: Callable[[], None] = engine.subscribe(self._on_event)

    @property
    def model(self) -> ModelEntry | RemoteModel | None:
        """The model that is loaded, is loading or failed to; None when there is none."""
        with self._lock:
            return self._model

    @property
    def local_model(self) -> ModelEntry | None:
        """The same where it is one of this machine; None where a server has it."""
        model = self.model
        return None if isinstance(model, RemoteModel) else model

    @property
    def plan(self) -> MemoryPlan | None:
        """What the model of this machine was loaded with, or is being."""
        entry = self.local_model
        return None if entry is None or self._loader is None else self._loader.plan_of(str(entry.path))

    @property
    def receipt(self) -> Receipt | None:
        """What the loaded model really took; None while it is not loaded."""
        return self._receipt

    @property
    def servers(self) -> RemoteServers | None:
        """The servers that the user added; None where there can be none."""
        return self._servers

    def models(self) -> list[ModelEntry | RemoteModel]:
        """All that can be chosen: those of this machine, then those of servers."""
        remote = [] if self._servers is None else self._servers.models()
        return [*self._library.entries(), *remote]

    def load(self, model_id: str) -> ModelEntry | RemoteModel:
        """Load a model by its id or path. Raises ModelFileError where it is not there or not usable."""
        if self._servers is not None and is_remote(model_id):
            return self._connect(self._servers.find(model_id))
        entry = self._library.find(model_id)
        if entry.problem is not None:
            raise ModelFileError(entry.problem.text, entry.problem.hint)
        with self._lock:
            self._model = entry
        self._settings.update(last_model=entry.id, loading_model=entry.id)
        self._library.note_use(entry)
        settings = self._settings.current
        cache = cache_config(settings, self._kv_folder)
        drafting = draft_config(settings, self._library, entry)
        usual = LoadSpec(str(entry.path), EngineConfig(n_ctx=settings.n_ctx), cache, drafting, name=entry.load_name)
        wishes = settings.load_wishes.get(entry.id, LoadWishes())
        spec = usual if self._loader is None else self._loader.spec(entry, wishes, usual)
        if self.model is entry:  # another one may have been asked for while the devices were
            self._engine.load(spec)
        return entry

    def _connect(self, model: RemoteModel) -> RemoteModel:
        """It cannot take the program down with it, so nothing is noted of its loading."""
        with self._lock:
            self._model = model
        self._settings.update(last_model=model.id, loading_model=None)
        self._engine.load(LoadSpec(model.path))
        return model

    def reload(self) -> None:
        """Load the same model again, after a failure or with changed settings."""
        model = self.model
        if model is not None:
            self.load(model.id)

    def autoload(self) -> ModelEntry | RemoteModel | None:
        """At the start: load the last model, or the first usable one. None where nothing can be loaded.

        Raises ModelFileError where the last run died while loading this model: loading it again is the user's call.
        """
        settings = self._settings.current
        if settings.loading_model is not None:
            self._settings.update(loading_model=None)
            raise ModelFileError(
                f"Hearth stopped while it loaded {settings.loading_model} the last time.",
                "It was not loaded again by itself. Pick it, or another model, to go on.",
            )
        usable = [model for model in self.models() if model.problem is None]
        chosen = next((model for model in usable if model.id == settings.last_model), None)
        if chosen is None:  # a server gets what is written only where the user chose it
            chosen = next((model for model in usable if not isinstance(model, RemoteModel)), None)
        return self.load(chosen.id) if chosen is not None else None

    def unload(self) -> None:
        self._engine.unload()

    def close(self) -> None:
        """An orderly end in the middle of a load is nobody's death."""
        self._unsubscribe()
        self._settings.update(loading_model=None)

    def _on_event(self, event: Event) -> None:
        match event:
            case ModelLoading():
                self._receipt = None
            case ModelLoaded(receipt=receipt):
                self._settings.update(loading_model=None)
                self._receipt = receipt
            case LoadFailed() | EngineFailed(restarting=False):
                self._settings.update(loading_model=None)
            case ModelUnloaded():
                self._receipt = None
                with self._lock:
                    self._model = None


def cache_config(settings: Settings, kv_folder: Path | None) -> CacheConfig:
    """What the settings allow to be remembered; nothing is kept on disk without a folder."""
    folder = None if kv_folder is None else str(kv_folder)
    return CacheConfig(settings.cache_ram_bytes, settings.cache_disk_bytes, folder)


def first_usable(library: Library, wished: str | None) -> ModelEntry:
    """The wished model, or else the first that can be loaded. Raises KnownError where there is none."""
    if wished is not None:
        return library.find(wished)
    for entry in library.entries():
        if entry.problem is None:
            return entry
    raise KnownError("There is no model yet.", "Run ./run once with a connection, or name a GGUF file.")
