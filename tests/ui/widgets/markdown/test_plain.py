from __future__ import annotations

from ui.widgets.markdown.plain import join, plain_text
from ui.widgets.markdown.stream import MarkdownStream


def plain(text: str) -> str:
    stream = MarkdownStream()
    stream.feed(text)
    stream.finish()
    stream.advance()
    return join((block, plain_text(block)) for block in stream.blocks)


def test_signs_of_markdown_are_gone() -> None:
    assert plain("# Title\n\nSome **bold** `code` and [a link](https://example.org).") == (
        "Title\n\nSome bold code and a link."
    )


def test_lists_keep_their_markers_and_their_depth() -> None:
    assert plain("- a\n  1. b\n  2. c\n- [x] d\n- [ ] e") == "• a\n  1. b\n  2. c\n[x] d\n[ ] e"


def test_formulas_are_tex() -> None:
    assert plain("so $x^2$ is\n\n$$\ny\n$$") == "so $x^2$ is\n\n$$\ny\n$$"


def test_cells_are_parted_by_tabs() -> None:
    assert plain("| a | b |\n|---|---|\n| 1 | **2** |") == "a\tb\n1\t2"


def test_a_listing_is_its_lines() -> None:
    code = "\n".join(f"    line {n}" for n in range(900))

    assert plain(f"```\n{code}\n```") == code
