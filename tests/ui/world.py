"""A window on real services, with a scripted engine and a library that is a list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import QAbstractButton, QWidget
from pytestqt.qtbot import QtBot

from app.api.service import ApiService
from app.chats import ChatService, ChatStore
from app.chats.types import Thread
from app.downloads import Downloads
from app.hub import Hub, TokenStore
from app.jobs import IoPool
from app.library import Hashes, Importer, Library, ModelEntry, Source, Upkeep
from app.paths import Paths
from app.remote import LoopThread, RemoteServers
from app.services import Services
from app.session import EngineSession
from app.settings import SettingsStore
from engine.errors import ErrorInfo, ModelFileError
from engine.types import RequestId
from tests.doubles.api_service import FakeApiService
from tests.doubles.engine import FakeEngineClient
from tests.doubles.keyrings import MemoryKeyring
from tests.doubles.machine import FakeMachine, FakePlanner
from tests.ui.transcript_double import FakeTranscript
from ui.bridge import ApiBridge, EngineBridge
from ui.chat.composer import ComposerText
from ui.chat.view import ChatView
from ui.main_window import MainWindow
from ui.widgets.banner import Banner

_LONGEST_CHAIN = 4
"""Of actions that start one another: a key, a change, the list that shows it, the conversation that opens."""

DAMAGED = ErrorInfo("ModelFileError", "broken.gguf ends too early.", "Download it again.")


def make_entry(name: str = "Tiny", problem: ErrorInfo | None = None, source: Source = Source.FOLDER) -> ModelEntry:
    return ModelEntry(
        id=name.lower(),
        path=Path(f"/models/{name.lower()}.gguf"),
        name=name,
        architecture="llama",
        quantization="Q4_1",
        n_params=135_000_000,
        size_bytes=98_000_000,
        n_ctx_train=8192,
        source=source,
        problem=problem,
    )


class FakeLibrary:
    """As ``app.library.Library``, without files."""

    def __init__(self, *entries: ModelEntry) -> None:
        self.models = list(entries)

    def entries(self) -> list[ModelEntry]:
        return list(self.models)

    def known(self) -> list[ModelEntry]:
        return list(self.models)

    def refresh(self) -> None:
        pass

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        return lambda: None

    def note_use(self, entry: ModelEntry) -> None:
        pass

    def find(self, id_or_path: str) -> ModelEntry:
        for entry in self.models:
            if id_or_path in (entry.id, str(entry.path)):
                return entry
        raise ModelFileError(f"{id_or_path} is not there.", "Choose another model.")

    def add(self, path: Path) -> ModelEntry:
        if path.suffix != ".gguf":
            raise ModelFileError(f"{path.name} is not a GGUF file.", "Choose a file that ends in .gguf.")
        entry = make_entry(path.stem, source=Source.LINKED)
        self.models.append(entry)
        return entry

    def remove(self, model_id: str) -> None:
        self.models = [entry for entry in self.models if entry.id != model_id]


class World:
    def __init__(self, qtbot: QtBot, folder: Path, *entries: ModelEntry) -> None:
        self.qtbot = qtbot
        self.paths = Paths.below(folder)
        self.paths.ensure()
        self.io = IoPool()
        self.engine = FakeEngineClient()
        self.settings = SettingsStore(self.paths.settings_file)
        self.library = FakeLibrary(*entries)
        self.chats = ChatService(ChatStore(self.paths.database), self.engine, self.settings, self.io)
        library = cast(Library, self.library)
        self.remote_loop = LoopThread("remote")
        self.keyring = MemoryKeyring()
        self.servers = RemoteServers(self.paths.config, self.remote_loop, self.keyring)
        self.session = EngineSession(self.engine, library, self.settings, servers=self.servers)
        self.api = FakeApiService(self.settings)
        self.hub = Hub(lambda: self.settings.current, TokenStore(self.paths.config / "hub-token", self.keyring))
        self.downloads = Downloads(self.paths.models, None, self.hub, self.settings, lambda _finished: None)
        self.machine = FakeMachine()
        self.planner = FakePlanner(self.machine)
        self.services = Services(
            self.paths,
            self.settings,
            self.io,
            self.engine,
            library,
            Importer(library),
            Upkeep(library, Hashes(self.paths.cache / "hashes.json")),
            self.planner,
            self.hub,
            self.downloads,
            self.chats,
            self.session,
            cast(ApiService, self.api),
            self.close,
        )
        self.bridge = EngineBridge(self.engine)
        self.api_bridge = ApiBridge(self.services.api)
        self.window = MainWindow(self.settings.current, "0.0.0")
        qtbot.addWidget(self.window)

    @property
    def chat(self) -> ChatView:
        return self.window.findChild(ChatView)

    @property
    def transcript(self) -> FakeTranscript:
        return self.window.findChild(FakeTranscript)

    def start(self, *, loaded: bool = True) -> None:
        """Show the window, fill it, and unless told otherwise let the first model load."""
        self.window.show()
        self.window.attach(self.services, self.bridge, self.api_bridge)
        self.settle()
        if loaded:
            self.engine.finish_loading("/models/tiny.gguf")
            self.qtbot.waitUntil(lambda: self.chat.chip.content.state == "ready")

    def settle(self) -> None:
        """Wait until what the window asked for is done and told, and what it asks for then as well."""
        QCoreApplication.processEvents()
        for _ in range(_LONGEST_CHAIN):
            for name in ("window", "plans", "models", "chats"):
                self.io.serial(name).submit(lambda: None).result()
                QCoreApplication.processEvents()

    def say(self, text: str, answer: str | None = "Fine.") -> Thread:
        """A question that was asked and answered before, in a conversation of its own."""
        thread = self.chats.send(None, text, "Tiny")
        if answer is not None:
            self.engine.answer(self.engine.submitted[-1].id, answer)
        return thread

    def last_request(self) -> RequestId:
        return self.engine.submitted[-1].id

    def rows(self) -> list[str]:
        """The sidebar as a person reads it: headings in capitals, the selected row marked."""
        model, view = self.chat.sidebar.conversations, self.chat.sidebar.list
        shown = []
        for row in range(model.rowCount()):
            index = model.index(row)
            text = str(index.data())
            if not index.flags():
                shown.append(text.upper())
            else:
                shown.append(f"> {text}" if view.selectionModel().isSelected(index) else f"  {text}")
        return shown

    def close(self) -> None:
        self.api_bridge.close()
        self.bridge.close()
        self.window.close()
        self.downloads.close()
        self.hub.close()
        self.session.close()
        self.chats.close()
        self.remote_loop.close()
        self.settings.flush()
        self.io.close()

    def write(self, text: str) -> None:
        """Type into the composer."""
        self.qtbot.keyClicks(self.chat.composer.findChild(ComposerText), text)

    def send(self, text: str) -> None:
        """Type a message, press Enter, and wait until it is saved and shown."""
        n_submitted = len(self.engine.submitted)
        self.write(text)
        self.press(self.chat.composer.findChild(ComposerText), Qt.Key.Key_Return)
        self.qtbot.waitUntil(lambda: len(self.engine.submitted) > n_submitted)
        self.settle()

    def press(
        self, widget: QWidget, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier
    ) -> None:
        self.qtbot.keyClick(widget, key, modifier)

    def click(self, button: QAbstractButton) -> None:
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def button(self, text: str) -> QAbstractButton:
        """The one visible button with these words or this name."""
        found = [
            button
            for button in self.window.findChildren(QAbstractButton)
            if button.isVisible() and text in (button.text(), button.accessibleName())
        ]
        assert len(found) == 1, f"{len(found)} buttons say {text!r}"
        return found[0]

    def told(self) -> str:
        """All banners on the chat page."""
        return " ".join(banner.accessibleName() for banner in self.chat.findChildren(Banner) if banner.isVisible())
