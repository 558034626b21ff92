"""Colours, fonts and sizes, taken from resources/themes, for widgets that paint and for the style sheet.

Qt holds one palette, one style sheet and one font database per process, so there is one :data:`theme` as well.
Thread: GUI.
"""

from __future__ import annotations

import re

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

import resources
from app.settings import Theme as ThemeChoice

_PLACEHOLDER = re.compile(r"\$\{([a-z0-9-]+)\}")
_TABULAR_FIGURES = "tnum"
_ROLES_OF_FIGURES = frozenset({"figures", "small"})
_CONTEXTUAL_ALTERNATES = "calt"  # in the code font these are ligatures: "->" drawn as an arrow, "!=" as one sign


class Theme(QObject):
    """Light or dark, following the system unless told otherwise. ``changed`` comes after everything is switched."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._choice = ThemeChoice.SYSTEM
        self._is_dark = False
        self._installed = False

    @property
    def is_dark(self) -> bool:
        return self._is_dark

    def color(self, name: str) -> QColor:
        """The colour of a token, by its name in tokens.json. Raises KeyError for an unknown one."""
        return QColor(resources.tokens()["colors"][self._variant][name])

    def size(self, name: str) -> int:
        """A size in device-independent pixels, rounded. Raises KeyError for an unknown one."""
        return round(self.exact_size(name))

    def exact_size(self, name: str) -> float:
        """For strokes, which need not be whole pixels."""
        return resources.tokens()["sizes"][name]

    def space(self, n_units: int) -> int:
        """``n_units`` steps of the spacing grid."""
        return n_units * self.size("unit")

    def font(self, role: str) -> QFont:
        """The font of a role: ui, figures, strong, small, label, reading, heading, title, code."""
        token = resources.tokens()["fonts"][role]
        font = QFont(token["family"])
        font.setPixelSize(token["size"])
        font.setWeight(QFont.Weight(token["weight"]))
        # Hinted glyphs sit on whole pixels, which makes the spacing of small text uneven.
        font.setHintingPreference(QFont.HintingPreference.PreferNoHinting)
        if role == "code":
            font.setStyleHint(QFont.StyleHint.Monospace)
            font.setFeature(QFont.Tag.fromString(_CONTEXTUAL_ALTERNATES), 0)
        elif role in _ROLES_OF_FIGURES:
            font.setFeature(QFont.Tag.fromString(_TABULAR_FIGURES), 1)
        return font

    def line_height(self, role: str) -> int:
        return resources.tokens()["fonts"][role]["line"]

    def style_sheet(self) -> str:
        """The style sheet in the colours of now. Raises KeyError where it names an unknown token."""
        values = self._style_values()
        return _PLACEHOLDER.sub(lambda match: values[match.group(1)], resources.style_template())

    def palette(self) -> QPalette:
        palette = QPalette()
        for role, name in _PALETTE.items():
            palette.setColor(role, self.color(name))
        for role in (QPalette.ColorRole.Text, QPalette.ColorRole.WindowText, QPalette.ColorRole.ButtonText):
            palette.setColor(QPalette.ColorGroup.Disabled, role, self.color("faint"))
        return palette

    def install(self, choice: ThemeChoice = ThemeChoice.SYSTEM) -> None:
        """Load the fonts and dress the application, which must exist."""
        if not self._installed:
            for path in resources.font_files():
                QFontDatabase.addApplicationFont(str(path))
            QApplication.setStyle("Fusion")
            QGuiApplication.styleHints().colorSchemeChanged.connect(self._on_system_changed)
            self._installed = True
        self._choice = choice
        self._is_dark = self._wants_dark()
        self._dress()

    def choose(self, choice: ThemeChoice) -> None:
        """Dark, light, or what the system says; a system that says nothing is light."""
        self._choice = choice
        self._refresh()

    @property
    def _variant(self) -> str:
        return "dark" if self._is_dark else "light"

    def _wants_dark(self) -> bool:
        if self._choice is ThemeChoice.SYSTEM:
            return QGuiApplication.styleHints().colorScheme() is Qt.ColorScheme.Dark
        return self._choice is ThemeChoice.DARK

    def _on_system_changed(self) -> None:
        self._refresh()

    def _refresh(self) -> None:
        wanted = self._wants_dark()
        if wanted is not self._is_dark:
            self._is_dark = wanted
            self._dress()
            self.changed.emit()

    def _dress(self) -> None:
        app = QApplication.instance()
        if isinstance(app, QApplication):
            app.setFont(self.font("ui"))
            app.setPalette(self.palette())
            app.setStyleSheet(self.style_sheet())

    def _style_values(self) -> dict[str, str]:
        tokens = resources.tokens()
        values = dict(tokens["colors"][self._variant])
        values.update({name: f"{value:g}px" for name, value in tokens["sizes"].items()})
        values.update({f"font-{name}": f"{font['size']}px" for name, font in tokens["fonts"].items()})
        return values


_PALETTE = {
    QPalette.ColorRole.Window: "bg",
    QPalette.ColorRole.WindowText: "text",
    QPalette.ColorRole.Base: "surface",
    QPalette.ColorRole.AlternateBase: "raise",
    QPalette.ColorRole.Text: "text",
    QPalette.ColorRole.PlaceholderText: "faint",
    QPalette.ColorRole.Button: "surface",
    QPalette.ColorRole.ButtonText: "text",
    QPalette.ColorRole.BrightText: "bad",
    QPalette.ColorRole.Highlight: "selection",
    QPalette.ColorRole.HighlightedText: "text",
    QPalette.ColorRole.Link: "accent",
    QPalette.ColorRole.LinkVisited: "accent",
    QPalette.ColorRole.ToolTipBase: "surface",
    QPalette.ColorRole.ToolTipText: "text",
    QPalette.ColorRole.Light: "surface",
    QPalette.ColorRole.Midlight: "raise",
    QPalette.ColorRole.Mid: "line",
    QPalette.ColorRole.Dark: "line",
    QPalette.ColorRole.Shadow: "line",
    QPalette.ColorRole.Accent: "accent",
}

theme = Theme()
