"""Fonts, icons and themes, and the only code that knows where they lie. No Qt in here.

Nothing is read at import time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

_ROOT = Path(__file__).resolve().parent


class FontToken(TypedDict):
    """``size`` and ``line`` are device-independent pixels; ``weight`` is the CSS number."""

    family: str
    size: int
    weight: int
    line: int


class Tokens(TypedDict):
    """The design in numbers. Colours are #RRGGBB or #AARRGGBB, sizes are device-independent pixels."""

    colors: Mapping[str, Mapping[str, str]]
    fonts: Mapping[str, FontToken]
    sizes: Mapping[str, float]


@cache
def tokens() -> Tokens:
    loaded: Tokens = json.loads(_text("themes/tokens.json"))
    return loaded


def style_template() -> str:
    """The style sheet with ``${name}`` where a token goes."""
    return _text("themes/hearth.qss")


def font_files() -> tuple[Path, ...]:
    return tuple(sorted((_ROOT / "fonts").glob("*.ttf")))


def icon_names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (_ROOT / "icons").glob("*.svg") if path.stem != "hearth"))


@cache
def icon_svg(name: str) -> str:
    """A line icon of 24 x 24 units in ``currentColor``. Raises FileNotFoundError for an unknown name."""
    return _text(f"icons/{name}.svg")


def app_icon_file() -> Path:
    return _ROOT / "icons" / "hearth.svg"


@cache
def recommended_models() -> tuple[Mapping[str, Any], ...]:
    """Models for a first start, the smallest first. Sizes are about right; the hub knows the exact ones."""
    return tuple(json.loads(_text("hub/recommended.json")))


@cache
def convertible_architectures() -> frozenset[str]:
    """Names of classes in transformers that llama.cpp's converter knows, as in ``config.json``."""
    return frozenset(json.loads(_text("hub/convertible.json")))


def licences(of: str) -> str:
    """The licence texts that lie beside the ``fonts`` or the ``icons``."""
    paths = sorted((_ROOT / of).glob("*-LICENSE.txt"))
    return "\n\n".join(f"{path.stem.removesuffix('-LICENSE')}\n\n{path.read_text(encoding='utf-8')}" for path in paths)


def _text(relative: str) -> str:
    return (_ROOT / relative).read_text(encoding="utf-8")
