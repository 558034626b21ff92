"""A hub on loopback, and the downloads that fetch from it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from app.downloads import DownloadItem, Downloads, DownloadState, Finished, Options
from app.hub import FileKind, Hub, Repository, TokenStore
from app.settings import SettingsStore
from tests.doubles.hub_server import HubServer, random_bytes
from tests.doubles.keyrings import MemoryKeyring

REPO = "org/tiny-GGUF"
FILE = "tiny-Q4_K_M.gguf"
WAIT_S = 60.0
QUICK = Options(backoff_s=0.02, n_tries=4, stall_s=0.4, reserve_bytes=0, piece_bytes=1 << 20)
ENDED = frozenset({DownloadState.DONE, DownloadState.FAILED})


def model_bytes(n_bytes: int = 8 << 20) -> bytes:
    return b"GGUF" + random_bytes(n_bytes - 4)


@dataclass
class Downloading:
    """``finished`` are the files of which the library is told."""

    server: HubServer
    folder: Path
    settings: SettingsStore
    hub: Hub
    downloads: Downloads
    finished: list[Finished] = field(default_factory=list)

    @property
    def models(self) -> Path:
        return self.folder / "models"

    @property
    def final(self) -> Path:
        return self.models / REPO / FILE

    def repository(self, repo_id: str = REPO) -> Repository:
        return self.hub.repository(repo_id)

    def enqueue(self, repo_id: str = REPO) -> str:
        repository = self.repository(repo_id)
        return self.downloads.enqueue(repository, *repository.of_kind(FileKind.MODEL))

    def fetch(self, repo_id: str = REPO) -> DownloadItem:
        """Download all models of a repository, to the end whichever it is."""
        download_id = self.enqueue(repo_id)
        return self.wait(lambda items: any(item.id == download_id and item.state in ENDED for item in items))

    def wait(self, condition: Callable[[tuple[DownloadItem, ...]], bool]) -> DownloadItem:
        """Until it holds; returns the first item then."""
        holds = threading.Event()
        unsubscribe = self.downloads.subscribe(lambda items: holds.set() if condition(items) else None)
        if condition(self.downloads.items()):
            holds.set()
        assert holds.wait(WAIT_S), self.downloads.items()
        unsubscribe()
        return self.downloads.items()[0]

    def files(self) -> set[str]:
        """All that lies below the folder of models."""
        return {path.relative_to(self.models).as_posix() for path in self.models.rglob("*") if path.is_file()}


@contextmanager
def downloading(
    folder: Path, server: HubServer, options: Options = QUICK, models: Path | None = None
) -> Iterator[Downloading]:
    """One run of Hearth, as far as downloads are concerned; the server goes on running after it."""
    settings = SettingsStore(folder / "settings.json")
    settings.update(hub_endpoint=server.endpoint)
    tokens = TokenStore(folder / "token.json", MemoryKeyring(), environ={}, signed_in=lambda: None)
    hub = Hub(lambda: settings.current, tokens)
    finished: list[Finished] = []
    downloads = Downloads(
        models or folder / "models", folder / "queue.json", hub, settings, finished.extend, options=options
    )
    try:
        yield Downloading(server, folder, settings, hub, downloads, finished)
    finally:
        downloads.close()
        hub.close()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
