"""How programs reach the API: where it is, who may come in, and what to paste."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QScrollArea, QVBoxLayout, QWidget

from app.api.service import ApiPhase, ApiState
from ui.api.origins_field import OriginsField
from ui.api.snippets import TITLES, Chapter, Snippet
from ui.api.words import STATE_COLORS, STATE_WORDS, state_sentence
from ui.theme import theme
from ui.widgets.buttons import IconButton, Segments, TextButton
from ui.widgets.card import Card
from ui.widgets.copying import CopyButton, CopyTextButton
from ui.widgets.dots import Dot
from ui.widgets.fields import NumberField
from ui.widgets.labels import ElidedLabel, IconLabel, label, make_selectable
from ui.widgets.listing import Listing
from ui.widgets.switch import Switch
from ui.widgets.transcript.copy_button import CopyIcon

_MAX_PORT = 65_535
_MAX_IDLE_MINUTES = 7 * 24 * 60
_MAX_MODELS = 16
_ASKED = "Without it, every program on this machine could use your models, whoever started it."
_NETWORK_WARNING = (
    "Every machine in your network can reach this address, and whoever has the key can use your models there. "
    "What is sent is not encrypted. Share it only in a network that you trust."
)


class ConnectView(QScrollArea):
    def __init__(self) -> None:
        super().__init__()
        self.server = ServerCard()
        self.access = AccessCard()
        self.models = ModelsCard()
        self.snippets = SnippetsCard()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(self._make_page())

    def _make_page(self) -> QWidget:
        column = QWidget()
        column.setMaximumWidth(theme.size("board-width"))
        rows = QVBoxLayout(column)
        rows.setContentsMargins(0, theme.space(6), 0, theme.space(9))
        rows.setSpacing(theme.space(2))
        rows.addWidget(self.server)
        for title, card in (
            ("Use it from a program", self.snippets),
            ("Who may use it", self.access),
            ("Models", self.models),
        ):
            rows.addSpacing(theme.space(4))
            rows.addWidget(label(title, "heading"))
            rows.addWidget(card)
        rows.addStretch()
        page = QWidget()
        page.setProperty("role", "page")
        centred = QHBoxLayout(page)
        centred.setContentsMargins(theme.space(6), 0, theme.space(6), 0)
        centred.addStretch(1)
        centred.addWidget(column, stretch=theme.size("board-width"))
        centred.addStretch(1)
        return page


class ServerCard(QFrame):
    """What the API is doing, and while it is on, its addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.act = TextButton("Turn on", "primary")
        self._dot = Dot(None)
        self._title = label("", "heading")
        self._sentence = label("", "ui", "dim", wrap=True)
        make_selectable(self._sentence)
        self._openai = AddressRow("OpenAI's clients")
        self._others = AddressRow("Anthropic's and Ollama's")
        self._network = AddressRow("From other machines")
        self._warning = _Warning(_NETWORK_WARNING)
        self._addresses = QWidget()
        addresses = QVBoxLayout(self._addresses)
        addresses.setContentsMargins(0, theme.space(2), 0, 0)
        addresses.setSpacing(theme.space(1))
        for widget in (self._openai, self._others, self._network, self._warning):
            addresses.addWidget(widget)
        self._lay_out()

    def show_state(self, state: ApiState) -> None:
        self._dot.set_color(STATE_COLORS[state.phase])
        self._title.setText(STATE_WORDS[state.phase])
        self._sentence.setText(state_sentence(state))
        can_act = state.phase in (ApiPhase.OFF, ApiPhase.FAILED)
        self.act.setText("Try again" if state.phase is ApiPhase.FAILED else "Turn on")
        self.act.setVisible(can_act)
        self._addresses.setVisible(state.url is not None)
        if state.url is not None:
            self._openai.show_address(f"{state.url}/v1")
            self._others.show_address(state.url)
        self._network.setVisible(state.lan_url is not None)
        self._warning.setVisible(state.lan_url is not None)
        if state.lan_url is not None:
            self._network.show_address(f"{state.lan_url}/v1")

    def _lay_out(self) -> None:
        title = QHBoxLayout()
        title.setSpacing(theme.space(2))
        title.addWidget(self._dot)
        title.addWidget(self._title)
        title.addStretch()
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addLayout(title)
        words.addWidget(self._sentence)
        top = QHBoxLayout()
        top.setSpacing(theme.space(5))
        top.addLayout(words, stretch=1)
        top.addWidget(self.act, alignment=Qt.AlignmentFlag.AlignVCenter)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.space(5), theme.space(4), theme.space(4), theme.space(4))
        layout.setSpacing(0)
        layout.addLayout(top)
        layout.addWidget(self._addresses)


class AddressRow(QWidget):
    def __init__(self, whose: str) -> None:
        super().__init__()
        self._address = label("", "code")
        make_selectable(self._address)
        name = label(whose, "small", "dim")
        name.setFixedWidth(theme.size("address-name-width"))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.space(2))
        layout.addWidget(name)
        layout.addWidget(self._address)
        layout.addWidget(CopyButton(f"Copy the address for {whose}", self._address.text))
        layout.addStretch()

    def show_address(self, address: str) -> None:
        self._address.setText(address)


class _Warning(QFrame):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.setProperty("role", "banner")
        self.setProperty("tone", "warn")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(theme.space(3), theme.space(2), theme.space(3), theme.space(2))
        layout.setSpacing(theme.space(3))
        layout.addWidget(IconLabel("triangle-alert", "warn"), alignment=Qt.AlignmentFlag.AlignTop)
        layout.addWidget(label(text, wrap=True), stretch=1)


class AccessCard(Card):
    """Every change counts at once."""

    def __init__(self) -> None:
        super().__init__()
        self.key = KeyField()
        self.requires_key = Switch("Ask programs on this machine for the key")
        self.on_network = Switch("Other machines may connect")
        self.port = NumberField("Port", 0, _MAX_PORT, 1)
        self.port.setGroupSeparatorShown(False)
        self.port.setSpecialValueText("any")
        self.origins = OriginsField()
        self.add_tall_row("Key", "Programs show it with each request. Keep it like a password.", self.key)
        self._asking = self.add_row("Ask for the key", _ASKED, self.requires_key)
        self.add_row(
            "Other machines may connect",
            "Off, only programs on this machine reach it. On, others in your network do, always with the key.",
            self.on_network,
        )
        self.add_row("Port", "Part of the address. Another one makes the API start again.", self.port)
        self.add_tall_row(
            "Web pages",
            "A page in your browser may use the API only if its address stands here. Without this, any page that you "
            "visit could use your models unseen.",
            self.origins,
        )

    def show_asking(self, *, is_on_network: bool, requires_key: bool) -> None:
        self.on_network.setChecked(is_on_network)
        self.requires_key.setChecked(requires_key or is_on_network)
        self.requires_key.setEnabled(not is_on_network)
        if is_on_network:
            words = "Always, while other machines may connect."
        elif requires_key:
            words = _ASKED
        else:
            words = "Off: every program on this machine can use your models, whoever started it."
        self._asking.setText(words)


class KeyField(QWidget):
    """The key, hidden until it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.copy = CopyIcon("Copy the key")
        self.copy.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.copy.setFixedSize(theme.size("control-height"), theme.size("control-height"))
        self.show_or_hide = IconButton("eye", "Show the key", small=True)
        self.renew = TextButton("Renew")
        self.renew.setAccessibleName("Make a new key")
        self._text = QLineEdit()
        self._text.setReadOnly(True)
        self._text.setFont(theme.font("code"))
        self._text.setAccessibleName("Key")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.space(2))
        layout.addWidget(self._text, stretch=1)
        for widget in (self.show_or_hide, self.copy, self.renew):
            layout.addWidget(widget)
        self.show_key(None)

    def show_key(self, key: str | None) -> None:
        """None hides it."""
        self._text.setText(key or _HIDDEN)
        self._text.setCursorPosition(0)
        self._text.setAccessibleDescription("" if key else "hidden")
        if key is None:
            self.show_or_hide.describe("eye", "Show the key")
        else:
            self.show_or_hide.describe("eye-off", "Hide the key")


_HIDDEN = "•" * 24


class ModelsCard(Card):
    def __init__(self) -> None:
        super().__init__()
        self.n_models = NumberField("Models that are loaded for programs", 0, _MAX_MODELS, 1)
        self.idle_minutes = NumberField("Minutes until an idle model is unloaded", 1, _MAX_IDLE_MINUTES, 1)
        self.idle_minutes.setSuffix(" min")
        self.add_row(
            "Loaded when a program asks",
            "So many besides the one in the chat, if the memory allows. With 0, programs get that one only.",
            self.n_models,
        )
        self.add_row("Unloaded after", "When no program has asked for a model for so long.", self.idle_minutes)


class SnippetsCard(QFrame):
    """One chapter at a time, each with its listings."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self.choice = Segments(TITLES, "Program")
        self._hint = label("", "small", "dim", wrap=True)
        self._boxes = [_SnippetBox() for _ in range(3)]
        self._chapters: Sequence[Chapter] = ()
        self._open = 0
        self.choice.choose(0)
        self.choice.chosen.connect(self._show)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.space(5), theme.space(4), theme.space(5), theme.space(4))
        layout.setSpacing(theme.space(3))
        layout.addWidget(self.choice, alignment=Qt.AlignmentFlag.AlignLeft)
        for box in self._boxes:
            layout.addWidget(box)
        layout.addWidget(self._hint)

    def show_chapters(self, chapters: Sequence[Chapter], hint: str) -> None:
        self._chapters = chapters
        self._hint.setText(hint)
        self._show(self._open)

    def _show(self, index: int) -> None:
        self._open = index
        snippets = self._chapters[index].snippets if self._chapters else ()
        for at, box in enumerate(self._boxes):
            box.setVisible(at < len(snippets))
            if at < len(snippets):
                box.show_snippet(snippets[at])


class _SnippetBox(QFrame):
    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "code-box")
        self._caption = ElidedLabel("", "small", "dim")
        self._listing = Listing("Snippet")
        self._copy = CopyTextButton("Copy this snippet", self._listing.toPlainText)
        head = QHBoxLayout()
        head.setContentsMargins(theme.space(3), 0, theme.space(1), 0)
        head.addWidget(self._caption, stretch=1)
        head.addWidget(self._copy)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, theme.space(1), 0, theme.space(1))
        layout.setSpacing(0)
        layout.addLayout(head)
        body = QHBoxLayout()
        body.setContentsMargins(theme.space(3), theme.space(1), theme.space(3), 0)
        body.addWidget(self._listing)
        layout.addLayout(body)

    def show_snippet(self, snippet: Snippet) -> None:
        self._caption.setText(snippet.caption)
        self._listing.setAccessibleName(f"Snippet: {snippet.caption}")
        self._copy.setAccessibleName(f"Copy: {snippet.caption}")
        self._listing.show_code(snippet.text, snippet.language)
