"""The dialog for a server: where it is, its key, and which of its models are wanted. What it does is in ``servers``."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent, QMouseEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from app.remote import KeyPlace
from engine.errors import ErrorInfo
from ui.theme import theme
from ui.widgets.buttons import TextButton
from ui.widgets.check_list import CheckList
from ui.widgets.fields import SecretField
from ui.widgets.labels import label
from ui.widgets.overlay import Sheet
from ui.widgets.search_field import SearchField

_MOST_ROWS = 4
_MANY = 12
"""Models, beyond which they are looked for by name."""

_INTRODUCTION = (
    "Any server that speaks OpenAI's protocol, such as vLLM or another Hearth. What you write is sent there."
)


class ServerSheet(Sheet):
    """Closes by its buttons and Escape only, so that a click beside it loses nothing that was typed."""

    asked = Signal()  # for the list of models
    hung_up = Signal()
    saved = Signal(object)  # the KeyPlace
    removal_wanted = Signal()
    typed = Signal()

    def __init__(self, host: QWidget, title: str, *, can_remove: bool) -> None:
        super().__init__(host, title)
        self.address = _line("Address", "http://192.168.1.20:8000/v1")
        self.name = _line("Name", "As it is called in the list of models")
        self.key = SecretField("Key")
        self.key.line.setPlaceholderText("Only where the server asks for one")
        self.warning = _note("", "warn")
        self.models = CheckList("Models of this server")
        self._search = SearchField("Search these models")
        self._state = _note("", "dim")
        self._ask = TextButton("Connect")
        self._ask.setToolTip("Ask the server which models it has")
        self._hang_up = TextButton("Stop", "ghost")
        self._save = TextButton("Save", "primary")
        self._places = _KeyPlaces()
        self._lay_out(can_remove)
        self._connect()
        self.show_models((), ())

    def show_models(self, names: Sequence[str], chosen: Sequence[str]) -> None:
        self.models.fill(names, chosen)
        self.models.setMinimumHeight(theme.size("row-height"))
        self.models.setMaximumHeight(theme.size("row-height") * min(len(names), _MOST_ROWS))
        self._search.clear()
        self._show_list()
        self._refresh()

    def show_asking(self, words: str) -> None:
        self._tell(words, "dim")
        self._ask.setEnabled(False)
        self._hang_up.show()
        self._fit()

    def show_answer(self, words: str) -> None:
        self._end_asking()
        self._tell(words, "dim")

    def show_problem(self, error: ErrorInfo) -> None:
        self._end_asking()
        self._tell(error.sentence, "bad")

    def show_saving(self, is_saving: bool) -> None:
        self._save.setEnabled(not is_saving and bool(self.models.chosen()))
        self._places.setEnabled(not is_saving)

    def offer_places(self, error: ErrorInfo) -> None:
        """The keyring did not take the key: it can be kept elsewhere."""
        self.show_saving(False)
        self._places.show_reason(error.sentence)
        for widget in (self._save, self._search, self.models):  # that choice is made
            widget.hide()
        self._fit()

    def withdraw_places(self) -> None:
        if self._places.isHidden():
            return
        self._places.hide()
        self._save.show()
        self._show_list()
        self._fit()

    def show_warning(self, words: str) -> None:
        if words != self.warning.text():
            self.warning.setText(words)
            self.warning.setVisible(bool(words))
            self._fit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.LayoutRequest and watched is self._card and self.isVisible():
            self._fit()
        return super().eventFilter(watched, event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        event.accept()

    def _first_focus(self) -> QWidget:
        return self.address

    def _show_list(self) -> None:
        self.models.setVisible(self.models.n_names() > 0)
        self._search.setVisible(self.models.n_names() > _MANY)

    def _end_asking(self) -> None:
        self._ask.setEnabled(True)
        self._hang_up.hide()
        self._refresh()

    def _tell(self, words: str, tone: str) -> None:
        self._state.setProperty("tone", tone)
        self._state.style().polish(self._state)
        self._state.setText(words)
        self._state.setVisible(bool(words))
        QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self._state, words))
        self._fit()

    def _refresh(self) -> None:
        self._save.setEnabled(bool(self.models.chosen()))
        self._fit()

    def _connect(self) -> None:
        self._card.installEventFilter(self)
        self._ask.clicked.connect(self.asked)
        self._hang_up.clicked.connect(self.hung_up)
        self._save.clicked.connect(lambda: self.saved.emit(KeyPlace.KEYRING))
        self._places.chosen.connect(self.saved)
        self._search.textChanged.connect(self.models.look_for)
        self.models.changed.connect(self._refresh)
        for line in (self.address, self.name, self.key.line):
            line.textChanged.connect(lambda _text: self.typed.emit())
        for line in (self.address, self.key.line):
            line.returnPressed.connect(self.asked)

    def _lay_out(self, can_remove: bool) -> None:
        self._layout.addWidget(label(_INTRODUCTION, "ui", "dim", wrap=True))
        fields = QGridLayout()
        fields.setHorizontalSpacing(theme.space(4))
        fields.setVerticalSpacing(theme.space(2))
        for row, (title, field) in enumerate((("Address", self.address), ("Name", self.name), ("Key", self.key))):
            words = label(title, "strong")
            words.setBuddy(field)
            fields.addWidget(words, row, 0)
            fields.addWidget(field, row, 1)
        self._layout.addLayout(fields)
        self._layout.addWidget(self.warning)
        asking = QHBoxLayout()
        asking.setSpacing(theme.space(2))
        asking.addWidget(self._ask, alignment=Qt.AlignmentFlag.AlignTop)
        asking.addWidget(self._state, stretch=1)
        asking.addWidget(self._hang_up, alignment=Qt.AlignmentFlag.AlignTop)
        self._layout.addLayout(asking)
        for widget in (self._search, self.models, self._places):
            self._layout.addWidget(widget)
        self.warning.hide()
        self._hang_up.hide()
        self._places.hide()
        if can_remove:
            remove = TextButton("Remove", "ghost", "trash-2")
            remove.clicked.connect(self.removal_wanted)
            self._buttons.insertWidget(0, remove)
        self.add_button("Cancel")
        self._buttons.addWidget(self._save)


class _KeyPlaces(QFrame):
    """Where a key can be, if not in the keyring."""

    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "banner")
        self.setProperty("tone", "warn")
        self._reason = label("", wrap=True)
        in_file = TextButton("Keep it in a file")
        in_file.setToolTip("As plain text, in a file that only you can read")
        for_run = TextButton("For this run only")
        for_run.setToolTip("It is forgotten when Hearth ends, and asked for again after that")
        in_file.clicked.connect(lambda: self.chosen.emit(KeyPlace.FILE))
        for_run.clicked.connect(lambda: self.chosen.emit(KeyPlace.RUN))
        buttons = QHBoxLayout()
        buttons.setSpacing(theme.space(2))
        buttons.addWidget(in_file)
        buttons.addWidget(for_run)
        buttons.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.space(3), theme.space(2), theme.space(3), theme.space(2))
        layout.setSpacing(theme.space(2))
        layout.addWidget(self._reason)
        layout.addLayout(buttons)

    def show_reason(self, words: str) -> None:
        self._reason.setText(words)
        self.setAccessibleName(words)
        self.show()
        QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self, words))


def _line(name: str, placeholder: str) -> QLineEdit:
    made = QLineEdit()
    made.setAccessibleName(name)
    made.setPlaceholderText(placeholder)
    return made


def _note(text: str, tone: str) -> QLabel:
    made = label(text, "ui", tone, wrap=True)
    made.setMinimumHeight(theme.line_height("ui"))
    made.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    made.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # which selecting by mouse would change
    return made
