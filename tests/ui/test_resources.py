from __future__ import annotations

from pathlib import Path

import pytest

import resources
from ui.widgets.icons import icon

ROOT = Path(__file__).parents[2]


def test_every_icon_can_be_drawn_in_the_colour_it_is_asked_for(qapp: object) -> None:
    for name in resources.icon_names():
        image = icon(name, "accent").pixmap(40, 40).toImage()
        drawn = [image.pixelColor(x, y) for x in range(40) for y in range(40) if image.pixelColor(x, y).alpha() == 255]
        assert drawn, name
        assert {color.name() for color in drawn} == {resources.tokens()["colors"]["light"]["accent"].lower()}, name


def test_no_icon_is_shipped_for_nothing() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "ui").rglob("*.py"))

    assert [name for name in resources.icon_names() if f'"{name}"' not in sources] == []


def test_unknown_icons_are_refused() -> None:
    with pytest.raises(FileNotFoundError):
        resources.icon_svg("no-such-icon")


def test_what_others_made_comes_with_its_licence() -> None:
    assert "Inter Project Authors" in resources.licences("fonts")
    assert "JetBrains Mono Project Authors" in resources.licences("fonts")
    assert "Lucide" in resources.licences("icons")


def test_the_sign_of_hearth_can_be_drawn(qapp: object) -> None:
    from PySide6.QtSvg import QSvgRenderer

    assert QSvgRenderer(str(resources.app_icon_file())).isValid()
