from __future__ import annotations

import pytest
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot

from ui.widgets.markdown.formulas import Formula, FormulaKey, Formulas, FormulaState, cost

# ziamath finds its fonts in a way that Python 3.11 and 3.12 call deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:path is deprecated:DeprecationWarning")


def key(tex: str, axis_px: float | None = 4.0) -> FormulaKey:
    return FormulaKey(tex, is_display=False, size_px=17, color="#24201b", pixel_ratio=2.0, axis_px=axis_px)


def drawn(qtbot: QtBot, formulas: Formulas, wanted: FormulaKey) -> Formula | FormulaState:
    assert formulas.get(wanted) is FormulaState.WAITING
    with qtbot.waitSignal(formulas.drawn, timeout=20_000):
        pass
    return formulas.get(wanted)


def has_ink(image: QImage) -> bool:
    return any(image.pixelColor(x, y).alpha() > 128 for x in range(image.width()) for y in range(image.height()))


def test_a_formula_is_drawn_in_the_background(qtbot: QtBot) -> None:
    formulas = Formulas()
    wanted = key(r"\frac{a}{b}")

    formula = drawn(qtbot, formulas, wanted)

    assert isinstance(formula, Formula)
    assert has_ink(formula.image)
    assert formula.image.devicePixelRatio() == 2.0
    assert formula.image.width() == formula.width * 2
    assert formulas.image(wanted.name) is formula.image


def test_what_stands_on_the_line_and_what_goes_below_it_are_told_apart(qtbot: QtBot) -> None:
    formulas = Formulas()

    above = drawn(qtbot, formulas, key("E"))
    below = drawn(qtbot, formulas, key("x_i"))

    assert isinstance(above, Formula)
    assert isinstance(below, Formula)
    assert (above.is_centred, below.is_centred) == (False, True)


@pytest.mark.parametrize("tex", [r"\frac{a", r"\begin{bmatrix}1", "", r"\rule{99999px}{99999px}", "x & y"])
def test_a_formula_that_cannot_be_drawn_is_told_to_have_failed(qtbot: QtBot, tex: str) -> None:
    assert drawn(qtbot, Formulas(), key(tex)) is FormulaState.FAILED


@pytest.mark.parametrize("tex", [r"\frac{1}{" * 40 + "x" + "}" * 40, "{" * 5_000, "a" * 100_000, r"\left(" * 30])
def test_a_formula_that_would_take_for_ever_is_not_begun(tex: str) -> None:
    assert Formulas().get(key(tex)) is FormulaState.FAILED


def test_cost_doubles_with_every_brace() -> None:
    assert cost("x") == 1
    assert cost("{x}") == 1 + 2 + 2
    assert cost(r"\alpha + \sqrt{x}") < 40
    assert cost(r"\{x\}") == cost("(x)")
