"""Decides about the list of conversations: which is open, found, renamed, deleted and brought back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from datetime import datetime

from PySide6.QtCore import QObject, QTimer, Signal

from app.chats import ChatService
from app.chats.types import ConversationSummary
from app.settings import SettingsStore
from engine.events import CacheChanged
from engine.reuse import ConversationCache
from engine.types import ModelInfo
from ui.bridge import EngineBridge
from ui.chat.sidebar import Sidebar
from ui.tasks import Operation

_SEARCH_DELAY_MS = 120
"""Long enough to type on without a search for every letter, too short to wait for."""


class ConversationsControl(QObject):
    """``opened`` carries the conversation to show, or None for a new one. Work runs in order on ``queue``."""

    opened = Signal(object)
    renamed = Signal(int, str)
    failed = Signal(object)  # the exception

    def __init__(
        self,
        sidebar: Sidebar,
        chats: ChatService,
        settings: SettingsStore,
        bridge: EngineBridge,
        queue: Executor,
        today: Callable[[], datetime] = datetime.now,
    ) -> None:
        super().__init__(sidebar)
        self._sidebar = sidebar
        self._chats = chats
        self._settings = settings
        self._queue = queue
        self._today = today
        self._selected: int | None = None
        self._search_timer = QTimer(self, singleShot=True, interval=_SEARCH_DELAY_MS)
        self._search_timer.timeout.connect(self.refresh)
        sidebar.new_button.clicked.connect(lambda: self.open(None))
        sidebar.search.textChanged.connect(lambda _text: self._search_timer.start())
        sidebar.search.left.connect(self._go_to_results)
        sidebar.list.opened.connect(self.open)
        sidebar.list.delete_requested.connect(self.delete)
        sidebar.list.undo_requested.connect(sidebar.toast.act)
        sidebar.list.pin_requested.connect(self.pin)
        sidebar.list.forget_requested.connect(chats.forget)
        sidebar.conversations.renamed.connect(self.rename)
        sidebar.conversations.show_pins(settings.current.pinned_conversations)
        bridge.cache_changed.connect(self._show_cache)
        bridge.model_loaded.connect(self._show_model)
        bridge.model_loading.connect(lambda _path, _progress: sidebar.conversations.show_remote(False))
        bridge.model_unloaded.connect(lambda _path: sidebar.conversations.show_remote(False))
        self._show_cache(bridge.cache)

    def start(self) -> None:
        """Show the list, and the conversation that was open when Hearth ended."""
        self._run(self._chats.conversations, self._on_first_list)

    def refresh(self) -> None:
        """Read the list again: all conversations, or what the search finds."""
        query = self._query()
        if query:
            self._run(lambda: self._chats.search(query), lambda found: self._show_found(query, found))
        else:
            self._run(self._chats.conversations, self._show_all)

    def open(self, conversation_id: int | None) -> None:
        self.select(conversation_id)
        self.opened.emit(conversation_id)

    def select(self, conversation_id: int | None) -> None:
        """Mark a conversation as the open one, and remember it."""
        self._selected = conversation_id
        self._settings.update(selected_conversation=conversation_id)
        self._sidebar.list.select(conversation_id)

    def rename(self, conversation_id: int, title: str) -> None:
        def done(_nothing: object) -> None:
            self.renamed.emit(conversation_id, title)
            self.refresh()

        self._run(lambda: self._chats.rename(conversation_id, title), done)

    def pin(self, conversation_id: int, is_pinned: bool) -> None:
        """Let the model keep it longest, or no longer."""
        self._chats.pin(conversation_id, is_pinned)
        self._sidebar.conversations.show_pins(self._settings.current.pinned_conversations)

    def delete(self, conversation_id: int) -> None:
        """Take it out of the list, and offer the way back for a moment."""
        title = self._sidebar.conversations.title_of(conversation_id)
        neighbour = self._sidebar.conversations.neighbour_of(conversation_id)

        def done(_nothing: object) -> None:
            if self._selected == conversation_id:
                self.open(neighbour)
            self.refresh()
            self._sidebar.toast.show_message(f"Deleted “{title}”", lambda: self._restore(conversation_id))

        self._run(lambda: self._chats.delete(conversation_id), done)

    def _restore(self, conversation_id: int) -> None:
        def done(_nothing: object) -> None:
            self.refresh()
            self.open(conversation_id)

        self._run(lambda: self._chats.restore(conversation_id), done)

    def _show_model(self, info: ModelInfo) -> None:
        self._sidebar.conversations.show_kept_whole(not info.can_cut_cache)
        self._sidebar.conversations.show_remote(info.is_remote)

    def _show_cache(self, cache: CacheChanged | None) -> None:
        self._sidebar.conversations.show_caches(None if cache is None else _by_conversation(cache))
        self._sidebar.conversations.show_pins(self._settings.current.pinned_conversations)  # also set on the monitor

    def _on_first_list(self, conversations: list[ConversationSummary]) -> None:
        self._show_all(conversations)
        remembered = self._settings.current.selected_conversation
        known = any(conversation.id == remembered for conversation in conversations)
        self.open(remembered if known else None)

    def _show_all(self, conversations: list[ConversationSummary]) -> None:
        if self._query():
            return
        self._sidebar.conversations.show_by_time(conversations, self._today().date())
        self._sidebar.show_nothing_found("")
        self._sidebar.list.select(self._selected)

    def _show_found(self, query: str, found: list[ConversationSummary]) -> None:
        if query != self._query():
            return
        self._sidebar.conversations.show_results(found)
        self._sidebar.show_nothing_found("" if found else query)
        self._sidebar.list.select(self._selected)

    def _go_to_results(self) -> None:
        self._sidebar.list.focus_first()

    def _query(self) -> str:
        return self._sidebar.search.text().strip()

    def _run(self, fn: Callable[[], object], done: Callable[..., None]) -> None:
        Operation(fn, owner=self).success(done).failure(self.failed.emit).run(self._queue)


def _by_conversation(cache: CacheChanged) -> dict[int, ConversationCache]:
    """The API names its conversations as it likes; those are not in the list."""
    return {int(known.id): known for known in cache.conversations if known.id.isascii() and known.id.isdigit()}
