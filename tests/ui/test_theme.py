from __future__ import annotations

import re

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFontDatabase, QFontInfo, QGuiApplication
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

import resources
from app.settings import Theme
from ui.theme import theme

THEMES = ("light", "dark")
GROUNDS = ("bg", "side", "surface", "raise", "hover")
TEXTS_ON_GROUNDS = {
    "text": (*GROUNDS, "soft", "code", "selection", "warn-soft", "bad-soft"),
    "dim": (*GROUNDS, "code", "warn-soft", "bad-soft"),
    "faint": GROUNDS,
    "accent": ("bg", "side", "surface", "soft"),
    "accent-ink": ("accent", "accent-hover", "accent-pressed"),
    "ok": GROUNDS,
    "warn": (*GROUNDS, "warn-soft"),
    "bad": (*GROUNDS, "bad-soft"),
    **{name: ("code",) for name in resources.tokens()["colors"]["light"] if name.startswith("code-")},
}


def luminance(color: QColor) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    channels = (color.redF(), color.greenF(), color.blueF())
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(QColor(one)), luminance(QColor(other))), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("variant", THEMES)
@pytest.mark.parametrize(("text", "ground"), [(t, g) for t, grounds in TEXTS_ON_GROUNDS.items() for g in grounds])
def test_every_text_can_be_read_on_every_ground_it_stands_on(variant: str, text: str, ground: str) -> None:
    colors = resources.tokens()["colors"][variant]

    assert contrast(colors[text], colors[ground]) >= 4.5


@pytest.mark.parametrize("variant", THEMES)
@pytest.mark.parametrize("mark", ["gpu", "disk", "weights", "draft", "accent"])
def test_marks_without_words_stand_out_from_the_page(variant: str, mark: str) -> None:
    colors = resources.tokens()["colors"][variant]

    assert contrast(colors[mark], colors["bg"]) >= 3.0


@pytest.mark.parametrize("variant", THEMES)
def test_what_lies_under_the_veil_can_still_be_read(variant: str) -> None:
    colors = resources.tokens()["colors"][variant]
    veil, text = QColor(colors["veil"]), QColor(colors["text"])
    share = veil.alphaF()
    mixed = QColor.fromRgbF(
        *(share * v + (1 - share) * t for v, t in zip(veil.getRgbF()[:3], text.getRgbF()[:3], strict=True))
    )

    assert contrast(mixed.name(), colors["bg"]) >= 4.5


def test_light_and_dark_have_the_same_tokens() -> None:
    colors = resources.tokens()["colors"]

    assert set(colors["light"]) == set(colors["dark"])


def test_the_style_sheet_is_filled_completely() -> None:
    assert "${" not in theme.style_sheet()
    assert theme.color("accent").name() in theme.style_sheet().lower()


def test_the_style_sheet_names_no_colour_of_its_own() -> None:
    assert not re.search(r"#[0-9A-Fa-f]{3,8}\b|rgba?\(", resources.style_template())


def test_no_widget_names_a_colour_of_its_own() -> None:
    from pathlib import Path

    import ui

    named = re.compile(r"""QColor\(["']|["']#[0-9A-Fa-f]{6,8}["']|GlobalColor\.(?!transparent)""")
    sources = Path(next(iter(ui.__path__))).rglob("*.py")

    assert [str(path) for path in sources if named.search(path.read_text(encoding="utf-8"))] == []


def test_unknown_tokens_are_refused() -> None:
    for ask in (theme.color, theme.size, theme.font):
        with pytest.raises(KeyError):
            ask("no-such-token")


@pytest.mark.parametrize("role", list(resources.tokens()["fonts"]))
def test_fonts_are_the_ones_that_are_shipped(role: str) -> None:
    token = resources.tokens()["fonts"][role]
    info = QFontInfo(theme.font(role))

    assert info.family() == token["family"]
    assert info.pixelSize() == token["size"]
    assert info.weight() == token["weight"]


def test_shipped_fonts_are_small() -> None:
    assert {path.name.split("-")[0] for path in resources.font_files()} == {"Inter", "JetBrainsMono"}
    assert all(path.stat().st_size < 1_000_000 for path in resources.font_files())
    assert "Inter" in QFontDatabase.families()


def test_a_forced_theme_dresses_the_application_and_tells_it_once(qtbot: QtBot) -> None:
    with qtbot.waitSignal(theme.changed):
        theme.choose(Theme.DARK)

    assert theme.is_dark
    assert QApplication.palette().window().color() == theme.color("bg")
    with qtbot.assertNotEmitted(theme.changed):
        theme.choose(Theme.DARK)


def test_the_system_decides_when_it_is_asked(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    hints = QGuiApplication.styleHints()
    theme.choose(Theme.SYSTEM)
    assert not theme.is_dark  # offscreen says nothing, which is light

    monkeypatch.setattr(type(hints), "colorScheme", lambda _self: Qt.ColorScheme.Dark)
    with qtbot.waitSignal(theme.changed):
        hints.colorSchemeChanged.emit(Qt.ColorScheme.Dark)

    assert theme.is_dark
    theme.choose(Theme.LIGHT)
    hints.colorSchemeChanged.emit(Qt.ColorScheme.Dark)
    assert not theme.is_dark
