"""A transcript that remembers what it was told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtCore import QRect, QUrl, Signal
from PySide6.QtWidgets import QWidget

from ui.widgets.transcript import MessageView


class FakeTranscript(QWidget):
    regenerate_requested = Signal(int)
    edit_requested = Signal(int)
    sibling_requested = Signal(int, int)
    retry_requested = Signal(int)
    explanation_requested = Signal(int, QRect)
    link_activated = Signal(QUrl)

    def __init__(self) -> None:
        super().__init__()
        self.views: list[MessageView] = []
        self.progress: dict[int, str] = {}
        self.n_resets = 0

    def set_messages(self, views: Sequence[MessageView]) -> None:
        self.views = list(views)
        self.progress = {}
        self.n_resets += 1

    def append_message(self, view: MessageView) -> None:
        self.views.append(view)

    def append_text(self, message_id: int, text: str) -> None:
        self._change(message_id, text=self.view(message_id).text + text)

    def append_thought(self, message_id: int, text: str) -> None:
        view = self.view(message_id)
        self._change(message_id, thought=view.thought + text)

    def set_progress(self, message_id: int, text: str) -> None:
        self.progress[message_id] = text

    def finish_message(self, view: MessageView) -> None:
        self.views = [view if shown.id == view.id else shown for shown in self.views]

    def clear(self) -> None:
        self.views = []

    def view(self, message_id: int) -> MessageView:
        return next(view for view in self.views if view.id == message_id)

    def drawn(self) -> str:
        """``> question`` and ``answer``, with the state of what is not complete in brackets."""
        lines = []
        for view in self.views:
            state = "" if view.status == "complete" else f" [{view.status}]"
            lines.append(f"{'> ' if view.is_user else ''}{view.text}{state}")
        return "\n".join(lines)

    def _change(self, message_id: int, **changes: str) -> None:
        self.views = [
            replace(view, **changes) if view.id == message_id else view  # type: ignore[arg-type]
            for view in self.views
        ]
