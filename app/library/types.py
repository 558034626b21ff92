"""A model as the user sees it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from engine.errors import ErrorInfo
from engine.gguf.summary import FileKind


class Source(StrEnum):
    """STARTER came with Hearth, FOLDER lies in the models folder, LINKED lies elsewhere and is only referred to."""

    STARTER = "starter"
    FOLDER = "folder"
    LINKED = "linked"


class App(StrEnum):
    """Whose models may be used without copying them."""

    OLLAMA = "ollama"
    LM_STUDIO = "lm-studio"
    JAN = "jan"
    HUB_CACHE = "hub-cache"

    @property
    def label(self) -> str:
        """As it stands within a sentence."""
        return _APP_LABELS[self]


_APP_LABELS = {
    App.OLLAMA: "Ollama",
    App.LM_STUDIO: "LM Studio",
    App.JAN: "Jan",
    App.HUB_CACHE: "the Hugging Face cache",
}


class EntryState(StrEnum):
    """READING: what the file says is not known yet, and will be told."""

    READY = "ready"
    READING = "reading"
    BROKEN = "broken"


class Origin(msgspec.Struct, frozen=True):
    """Where a file came from: repository, commit and path in it. ``sha256`` is what its publisher says that it is."""

    repo_id: str = ""
    commit: str = ""
    file: str = ""
    sha256: str | None = None
    licence: str | None = None
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Companion:
    """A file that goes with a model: a projector, which makes it see or hear, or an adapter (LoRA)."""

    path: Path
    name: str
    kind: FileKind
    architecture: str
    base_name: str
    quantization: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model, of one file or of several parts; ``path`` is the first and ``size_bytes`` counts all.

    ``id`` stays the same as long as the file stays where it is. An entry with a ``problem`` cannot be loaded; what its
    file did not tell is then empty or 0. ``is_unsupported``: the file is whole, and this version cannot run it.
    ``fingerprint`` names the model wherever it lies; receipts are kept by it. ``app`` is whose file a linked one is.
    """

    id: str
    path: Path
    name: str
    architecture: str
    quantization: str
    n_params: int
    size_bytes: int
    n_ctx_train: int
    source: Source
    problem: ErrorInfo | None = None
    state: EntryState = EntryState.READY
    is_unsupported: bool = False
    parts: tuple[Path, ...] = ()
    n_layers: int = 0
    width: int = 0
    n_vocab: int = 0
    has_template: bool = False
    licence: str = ""
    base_name: str = ""
    fingerprint: str = ""
    modified_s: float = 0.0
    last_used_s: float | None = None
    origin: Origin | None = None
    app: App | None = None
    projectors: tuple[Companion, ...] = ()
    adapters: tuple[Companion, ...] = ()

    @property
    def load_name(self) -> str:
        """What to call it where its file's name says nothing; else empty."""
        return self.name if self.app is App.OLLAMA else ""
