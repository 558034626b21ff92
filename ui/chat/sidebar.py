"""The panel beside the page: a new conversation, the search, the conversations, and a way back from a deletion."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from ui.chat.conversation_list import ConversationList
from ui.models.conversations import ConversationListModel
from ui.theme import theme
from ui.widgets.buttons import TextButton
from ui.widgets.labels import label
from ui.widgets.search_field import SearchField
from ui.widgets.toast import Toast


class Sidebar(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "sidebar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setMinimumWidth(theme.size("sidebar-min-width"))
        self.setMaximumWidth(theme.size("sidebar-max-width"))
        self.conversations = ConversationListModel()
        self.new_button = self._new_button()
        self.search = SearchField("Search everything")
        self.list = ConversationList(self.conversations)
        self.nothing_found = label("", "ui", "dim", wrap=True)
        self.nothing_found.setContentsMargins(theme.space(2), theme.space(4), theme.space(2), 0)
        self.nothing_found.hide()
        self.toast = Toast("Undo")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*[theme.space(3)] * 4)
        layout.setSpacing(theme.space(2))
        for widget in (self.new_button, self.search, self.nothing_found):
            layout.addWidget(widget)
        layout.addWidget(self.list, stretch=1)
        layout.addWidget(self.toast)

    def show_nothing_found(self, query: str) -> None:
        """Say that a search found nothing; an empty query takes the words away."""
        self.nothing_found.setText(f"Nothing found for “{query}”. The search looks at titles and messages.")
        self.nothing_found.setVisible(bool(query))

    def _new_button(self) -> TextButton:
        button = TextButton("New conversation", "primary", "plus")
        button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        button.setProperty("role", "wide")
        button.setToolTip("New conversation (Ctrl+N)")
        return button
