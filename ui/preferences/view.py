"""Builds the settings page. What the controls do is decided in ``page``."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPlainTextEdit, QScrollArea, QVBoxLayout, QWidget

from ui.models.memory import KEPT_WHOLE
from ui.theme import theme
from ui.widgets.banner import BannerArea
from ui.widgets.buttons import Segments, TextButton
from ui.widgets.card import Card
from ui.widgets.fields import NumberField, SizeField, SliderField
from ui.widgets.labels import label

APPEARANCES = ("System", "Light", "Dark")
CONTEXT_CHOICES = ("Automatic", "Fixed")
DRAFTING_CHOICES = ("Automatic", "Off", "Fixed")
OVERFLOW_CHOICES = ("Leave the oldest turns out", "Stop and ask")

_MIN_N_CTX, _MAX_N_CTX, _N_CTX_STEP = 256, 4_194_304, 1024
_MAX_TEMPERATURE, _TEMPERATURE_STEP = 2.0, 0.05
_MOST_DRAFTED = 15
_RAM_STEP_BYTES, _DISK_STEP_BYTES = 250_000_000, 500_000_000


class PreferencesView(QWidget):
    def __init__(self, version: str) -> None:
        super().__init__()
        self.setProperty("role", "page")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.banners = BannerArea()
        self.appearance = Segments(APPEARANCES, "Theme")
        self.context_choice = Segments(CONTEXT_CHOICES, "Context length")
        self.context_length = NumberField("Context length in tokens", _MIN_N_CTX, _MAX_N_CTX, _N_CTX_STEP)
        self.load_again = TextButton("Load again")
        self.load_again.setAccessibleName("Load the model again")
        self.load_again.setToolTip("The new context length counts when the model is loaded the next time")
        self.load_again.hide()
        self.temperature = SliderField("Temperature", _MAX_TEMPERATURE, _TEMPERATURE_STEP)
        self.drafting = Segments(DRAFTING_CHOICES, "Guessing ahead")
        self.n_drafted = NumberField("Tokens to guess ahead", 1, _MOST_DRAFTED, 1)
        self.system_prompt = self._make_system_prompt()
        self.memory = MemoryCard()
        self.files = Card()
        self.about = Card()
        self.about.add_row(f"Hearth {version}".strip(), "Runs language models on this machine. MIT licence.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.banners)
        layout.addWidget(self._make_scroll_area(), stretch=1)

    def add_place(self, title: str, path: Path, button_text: str = "Open") -> TextButton:
        """A row for a file or folder; returns its button."""
        button = TextButton(button_text, icon_name="folder-open")
        button.setAccessibleName(f"{button_text}: {title}")
        self.files.add_row(title, str(path), button)
        return button

    def add_fact(self, title: str, explanation: str, button_text: str) -> TextButton:
        """A row about Hearth itself; returns its button."""
        button = TextButton(button_text)
        button.setAccessibleName(f"{button_text}: {title}")
        self.about.add_row(title, explanation, button)
        return button

    def _make_scroll_area(self) -> QScrollArea:
        column = QWidget()
        column.setMaximumWidth(theme.size("form-width"))
        layout = QVBoxLayout(column)
        layout.setContentsMargins(0, theme.space(6), 0, theme.space(9))
        layout.setSpacing(theme.space(2))
        layout.addWidget(label("Settings", "title"))
        for title, card in (
            ("Appearance", self._make_appearance()),
            ("Model", self._make_model()),
            ("Memory", self.memory),
            ("Files", self.files),
            ("About", self.about),
        ):
            layout.addSpacing(theme.space(4))
            layout.addWidget(label(title, "heading"))
            layout.addWidget(card)
        layout.addStretch()
        return _scrolled(column)

    def _make_appearance(self) -> Card:
        card = Card()
        card.add_row("Theme", "Light, dark, or as the system says.", self.appearance)
        return card

    def _make_model(self) -> Card:
        context = _beside(self.load_again, self.context_length, self.context_choice)
        card = Card()
        card.add_row("Context length", "How many tokens a conversation can hold. More takes more memory.", context)
        card.add_row("Temperature", "Low is predictable, high is inventive.", self.temperature)
        card.add_row(
            "Guess ahead",
            "A small model, or the text so far, guesses words that the model then checks several at a time. The answer"
            " is the same. Automatic does it only where it is faster; it counts when a model is loaded the next time.",
            _beside(self.n_drafted, self.drafting),
        )
        card.add_tall_row("System prompt", "Said to the model before every conversation.", self.system_prompt)
        return card

    def _make_system_prompt(self) -> QPlainTextEdit:
        field = QPlainTextEdit()
        field.setProperty("role", "field")
        field.setAccessibleName("System prompt")
        field.setPlaceholderText("For example: Answer briefly, in plain words.")
        field.setTabChangesFocus(True)
        field.setFixedHeight(theme.size("prompt-height"))
        return field


class MemoryCard(Card):
    """``ram_use`` and ``disk_use`` say what is taken now."""

    def __init__(self) -> None:
        super().__init__()
        self.ram = SizeField("RAM for conversations", _RAM_STEP_BYTES)
        self.disk = SizeField("Disk space for conversations", _DISK_STEP_BYTES)
        self.ram_use = _use_label()
        self.disk_use = _use_label()
        self.overflow = Segments(OVERFLOW_CHOICES, "A conversation that gets too long")
        self.add_row(
            "In RAM",
            "What was read of conversations waits here, so that it need not be read again.",
            _above(self.ram, self.ram_use),
        )
        self.add_row(
            "On disk",
            "What does not fit into RAM, and what is there again after the next start.",
            _above(self.disk, self.disk_use),
        )
        self.add_row("Too long", "When a conversation no longer fits into the context.", self.overflow)
        self._kept_whole = self.add_note(KEPT_WHOLE)
        self._kept_whole.hide()

    def show_kept_whole(self, is_kept_whole: bool) -> None:
        """Say that the loaded model cannot go on from the middle of what it remembers."""
        self._kept_whole.setVisible(is_kept_whole)


def _use_label() -> QLabel:
    made = label("", "small", "dim", wrap=True)
    made.setAlignment(Qt.AlignmentFlag.AlignRight)
    return made


def _beside(*widgets: QWidget) -> QWidget:
    both = QWidget()
    row = QHBoxLayout(both)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(theme.space(2))
    for widget in widgets:
        row.addWidget(widget)
    return both


def _above(control: QWidget, words: QLabel) -> QWidget:
    both = QWidget()
    column = QVBoxLayout(both)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(0)
    column.addWidget(control)
    column.addWidget(words)
    return both


def _scrolled(column: QWidget) -> QScrollArea:
    page = QWidget()
    page.setProperty("role", "page")
    centred = QHBoxLayout(page)
    centred.setContentsMargins(theme.space(6), 0, theme.space(6), 0)
    centred.addStretch(1)
    centred.addWidget(column, stretch=theme.size("form-width"))
    centred.addStretch(1)
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(page)
    return area
