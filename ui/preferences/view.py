"""Builds the settings page. What the controls do is decided in ``page``."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPlainTextEdit, QScrollArea, QVBoxLayout, QWidget

from ui.theme import theme
from ui.widgets.banner import BannerArea
from ui.widgets.buttons import Segments, TextButton
from ui.widgets.card import Card
from ui.widgets.fields import NumberField, SliderField
from ui.widgets.labels import label

APPEARANCES = ("System", "Light", "Dark")
CONTEXT_CHOICES = ("Automatic", "Fixed")

_MIN_N_CTX, _MAX_N_CTX, _N_CTX_STEP = 256, 4_194_304, 1024
_MAX_TEMPERATURE, _TEMPERATURE_STEP = 2.0, 0.05


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
        self.system_prompt = self._make_system_prompt()
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
        context = QWidget()
        row = QHBoxLayout(context)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.space(2))
        for widget in (self.load_again, self.context_length, self.context_choice):
            row.addWidget(widget)
        card = Card()
        card.add_row("Context length", "How many tokens a conversation can hold. More takes more memory.", context)
        card.add_row("Temperature", "Low is predictable, high is inventive.", self.temperature)
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
