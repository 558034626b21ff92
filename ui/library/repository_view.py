"""Builds the page of a repository: its files with what they will do here, and its card."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from app.hub import Repository
from ui.library.card_view import CardView
from ui.library.file_rows import FileRows
from ui.library.gate import GateCard
from ui.library.state import StateNote
from ui.library.words import convertible_words, repository_facts
from ui.plan.card import PlanCard
from ui.theme import theme
from ui.widgets.buttons import TextButton
from ui.widgets.labels import label, make_selectable


class RepositoryView(QStackedWidget):
    """``left`` comes with Escape: back to the results."""

    left = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.note = StateNote()
        self.title = label("", "title", wrap=True)
        self.facts = label("", "ui", "dim", wrap=True)
        self.browser = TextButton("Model page", "ghost", "external-link")
        self.gate = GateCard()
        self.files = FileRows()
        self.no_files = label("", "ui", "dim", wrap=True)
        self.room = label("", "small", "warn", wrap=True)
        self.plan = PlanCard()
        self.card = CardView()
        self._plan_box = _Section("What will happen on this machine", self.plan, framed=True)
        self._card_box = _Section("About this model", self.card)
        self._area = QScrollArea()
        self._lay_out()
        self.say("Choose a model on the left.", "Here is then what it is, and what it will do on this machine.")

    def say(self, text: str, hint: str = "") -> None:
        """A note in place of a repository."""
        self.note.say("", text, hint)
        self.setCurrentIndex(0)

    def show_repository(self, repository: Repository) -> None:
        self.title.setText(repository.name)
        self.facts.setText(repository_facts(repository))
        self.browser.setToolTip(repository.page_url)
        self.gate.show_access(repository.access)
        self.files.setVisible(bool(repository.groups))
        self.files.show_groups(repository.groups, can_get=repository.access is None)
        self.no_files.setText(
            convertible_words(repository.convertible)
            if repository.convertible is not None
            else "This repository has no file that can be used here."
        )
        self.no_files.setVisible(not repository.groups or repository.convertible is not None)
        self.card.show_card(repository.card)
        self._card_box.setVisible(bool(repository.card))
        self._plan_box.hide()
        self.show_room("")
        self._area.verticalScrollBar().setValue(0)
        self.setCurrentIndex(1)

    def show_room(self, words: str) -> None:
        """That the disk is too full."""
        self.room.setText(words)
        self.room.setVisible(bool(words))

    def show_plan_of(self, name: str) -> None:
        self._plan_box.rename(f"What {name} will do on this machine")
        self._plan_box.show()

    def hide_plan(self) -> None:
        self._plan_box.hide()

    def focus(self) -> None:
        """Go to the first thing that can be done here."""
        rows = [row for row in self.files.rows() if row.get.isVisible() and row.get.isEnabled()]
        target = rows[0].get if rows and self.currentIndex() == 1 else self.browser
        target.setFocus(Qt.FocusReason.TabFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        else:
            super().keyPressEvent(event)

    def _lay_out(self) -> None:
        make_selectable(self.facts)
        make_selectable(self.title)
        head = QHBoxLayout()
        head.setSpacing(theme.space(3))
        head.addWidget(self.title, stretch=1)
        head.addWidget(self.browser, alignment=Qt.AlignmentFlag.AlignTop)
        page = QWidget()
        page.setProperty("role", "page")
        page.setMaximumWidth(theme.size("library-page-width"))
        column = QVBoxLayout(page)
        column.setContentsMargins(theme.space(9), theme.space(7), theme.space(9), theme.space(9))
        column.setSpacing(0)
        column.addLayout(head)
        column.addSpacing(theme.space(1))
        column.addWidget(self.facts)
        column.addSpacing(theme.space(5))
        parts = QVBoxLayout()
        parts.setSpacing(theme.space(4))
        for widget in (self.gate, self.room, self.no_files, self.files):
            parts.addWidget(widget)
        column.addLayout(parts)
        column.addSpacing(theme.space(4))
        column.addWidget(self._plan_box)
        column.addWidget(self._card_box)
        column.addStretch()
        self._area.setWidget(page)
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.addWidget(self.note)
        self.addWidget(self._area)


class _Section(QWidget):
    def __init__(self, title: str, content: QWidget, *, framed: bool = False) -> None:
        super().__init__()
        self._title = label(title, "heading")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, theme.space(3), 0, theme.space(4))
        layout.setSpacing(theme.space(2))
        layout.addWidget(self._title)
        if not framed:
            layout.addWidget(content)
            return
        card = QFrame()
        card.setProperty("role", "card")
        inside = QVBoxLayout(card)
        inside.setContentsMargins(*[theme.space(5)] * 4)
        inside.addWidget(content)
        layout.addWidget(card)

    def rename(self, title: str) -> None:
        self._title.setText(title)
