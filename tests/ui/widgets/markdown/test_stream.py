"""Markdown as blocks: what is recognised, and that it is the same however the text arrives."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ui.widgets.markdown import parser, stream
from ui.widgets.markdown.blocks import (
    Alignment,
    Block,
    CodeBlock,
    Frame,
    FrameKind,
    Marker,
    MathBlock,
    PlainBlock,
    RuleBlock,
    Span,
    SpanStyle,
    TableBlock,
    TextBlock,
)
from ui.widgets.markdown.stream import MarkdownStream, plain_blocks

EVERYTHING = """# One

A paragraph with **bold**, *italic*, ~~gone~~ and `code`.

- first
- second
  - nested
    1. deep

      more of it
- [x] done

3. three
4. four

   ```python
   x = 1
   ```

> quoted
> > twice

| a | b |
|---|--:|
| 1 | 2 |

$$
e = mc^2
$$

---

```rust
fn main() {}

// after an empty line
```
The end.
"""


def read(text: str) -> list[Block]:
    made = MarkdownStream()
    made.feed(text)
    made.finish()
    made.advance()
    return list(made.blocks)


def read_in_pieces(text: str, n_chars: int) -> list[Block]:
    made = MarkdownStream()
    for start in range(0, len(text), n_chars):
        made.feed(text[start : start + n_chars])
        made.advance()
    made.finish()
    made.advance()
    return list(made.blocks)


def paragraph(text: str, style: SpanStyle = SpanStyle.NONE) -> TextBlock:
    return TextBlock(spans=(Span(text, style),))


def shown(blocks: list[Block]) -> list[str]:
    """The text of each paragraph, with the marker before it."""
    found = []
    for block in blocks:
        assert isinstance(block, TextBlock)
        marker = f"{block.marker.text} " if block.marker else ""
        found.append(marker + "".join(span.text for span in block.spans))
    return found


def only(text: str) -> Block:
    blocks = read(text)
    assert len(blocks) == 1
    return blocks[0]


def spans(text: str) -> tuple[Span, ...]:
    block = only(text)
    assert isinstance(block, TextBlock)
    return block.spans


def test_text_styles_are_told_apart() -> None:
    assert spans("a **b** *c* ~~d~~ `e` ***f***") == (
        Span("a "),
        Span("b", SpanStyle.BOLD),
        Span(" "),
        Span("c", SpanStyle.ITALIC),
        Span(" "),
        Span("d", SpanStyle.STRIKE),
        Span(" "),
        Span("e", SpanStyle.CODE),
        Span(" "),
        Span("f", SpanStyle.BOLD | SpanStyle.ITALIC),
    )


def test_a_line_break_is_kept_as_it_was_written() -> None:
    assert spans("roses are red\nviolets are blue") == (Span("roses are red\nviolets are blue"),)


def test_raw_html_is_text() -> None:
    text = '<b onclick="x">bold</b> a < b && vec<int>'

    assert spans(text) == (Span(text),)


def test_a_block_of_html_is_text() -> None:
    assert shown(read("<div>\n<script>alert(1)</script>\n</div>")) == ["<div>\n<script>alert(1)</script>\n</div>"]


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "vbscript:x", "ftp://a.org", "//a.org", "x"],
)
def test_a_link_that_is_not_safe_leads_nowhere(address: str) -> None:
    assert all(span.href == "" for span in spans(f"[text]({address}) <{address}>"))


@pytest.mark.parametrize("address", ["http://example.org", "https://example.org/a?b=c", "mailto:me@example.org"])
def test_a_safe_link_keeps_its_address(address: str) -> None:
    assert spans(f"[text]({address})") == (Span("text", href=address),)


def test_an_image_is_its_description_and_a_link_to_it() -> None:
    assert spans("![a cat](https://example.org/cat.png)") == (
        Span("a cat", SpanStyle.ITALIC, "https://example.org/cat.png"),
    )


def test_an_image_from_the_disk_is_only_its_description() -> None:
    assert spans("![](file:///etc/hostname)") == (Span("![](file:///etc/hostname)"),)
    assert spans("![](/etc/hostname)") == (Span("image", SpanStyle.ITALIC),)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("see https://example.org/a_b_c.", "https://example.org/a_b_c"),
        ("(https://example.org/x)", "https://example.org/x"),
        ("https://example.org/wiki/A_(b)", "https://example.org/wiki/A_(b)"),
        ("https://example.org/?q=1, or not", "https://example.org/?q=1"),
    ],
)
def test_a_bare_address_is_a_link_without_the_punctuation_around_it(text: str, address: str) -> None:
    assert [span.href for span in spans(text) if span.href] == [address]


def test_headings_have_levels() -> None:
    assert read("# a\n\n### b\n\nc\n---") == [
        TextBlock(spans=(Span("a"),), level=1),
        TextBlock(spans=(Span("b"),), level=3),
        TextBlock(spans=(Span("c"),), level=2),
    ]


def test_list_items_are_blocks_that_stand_in_frames() -> None:
    blocks = read("- a\n  - b\n- c")

    assert shown(blocks) == ["• a", "◦ b", "• c"]
    assert [[frame.kind for frame in block.frames] for block in blocks] == [
        [FrameKind.BULLET_ITEM],
        [FrameKind.BULLET_ITEM, FrameKind.BULLET_ITEM],
        [FrameKind.BULLET_ITEM],
    ]
    assert blocks[0].frames[0] == blocks[1].frames[0] != blocks[2].frames[0]


def test_only_the_first_block_of_an_item_has_the_marker() -> None:
    assert shown(read("1. a\n\n   b\n2. c")) == ["1. a", "b", "2. c"]


def test_ordered_lists_begin_where_they_say_and_count_on() -> None:
    assert shown(read("7. a\n7. b\n7. c")) == ["7. a", "8. b", "9. c"]


def test_an_empty_item_shows_its_marker() -> None:
    assert shown(read("- a\n-\n- c")) == ["• a", "• ", "• c"]


def test_tasks_are_checked_or_not() -> None:
    blocks = read("- [ ] a\n- [x] b\n- [y] c")

    assert [block.marker for block in blocks] == [Marker("☐", False), Marker("☑", True), Marker("•")]
    assert [block.spans for block in blocks if isinstance(block, TextBlock)] == [
        (Span("a"),),
        (Span("b"),),
        (Span("[y] c"),),
    ]


def test_code_in_an_item_stands_in_the_item() -> None:
    blocks = read("1. Install:\n   ```bash\n   pip install x\n   ```\n2. Run.")

    assert isinstance(blocks[1], CodeBlock)
    assert (blocks[1].text, blocks[1].language) == ("pip install x", "bash")
    assert blocks[1].frames == blocks[0].frames


def test_quotes_nest() -> None:
    outer = Frame(FrameKind.QUOTE, (0, 0))

    assert read("> a\n>\n> > b") == [
        TextBlock(spans=(Span("a"),), frames=(outer,)),
        TextBlock(spans=(Span("b"),), frames=(outer, Frame(FrameKind.QUOTE, (2, 1)))),
    ]


def test_a_table_has_rows_and_alignments() -> None:
    assert only("| a | b | c |\n|---|:-:|--:|\n| 1 | **2** |\n") == TableBlock(
        rows=(
            ((Span("a"),), (Span("b"),), (Span("c"),)),
            ((Span("1"),), (Span("2", SpanStyle.BOLD),), ()),
        ),
        alignments=(Alignment.START, Alignment.CENTER, Alignment.END),
    )


@pytest.mark.parametrize("text", ["$$\nx^2\n$$", "$$x^2$$", "\\[\nx^2\n\\]", "\\[ x^2 \\]"])
def test_a_formula_alone_is_a_block(text: str) -> None:
    assert only(text) == MathBlock(tex="x^2")


@pytest.mark.parametrize("text", ["$x^2$", "\\(x^2\\)", "\\( x^2 \\)"])
def test_a_formula_in_a_line_is_a_span(text: str) -> None:
    assert spans(f"so {text} is") == (Span("so "), Span("x^2", SpanStyle.MATH), Span(" is"))


@pytest.mark.parametrize(("opening", "closing"), [("\\[", "\\]"), ("$$", "$$")])
def test_lines_of_a_formula_are_not_lists(opening: str, closing: str) -> None:
    text = f"so\n{opening}\na\n+ b\n- c\n{closing}\nthen"

    assert read(text) == [paragraph("so"), MathBlock(tex="a\n+ b\n- c"), paragraph("then")]
    assert read_in_pieces(text, 1) == read(text)


def test_an_unfinished_formula_is_source() -> None:
    made = MarkdownStream()
    made.feed("so:\n$$\na\n- b")
    made.advance()

    assert list(made.blocks) == [paragraph("so:"), paragraph("$$\na\n- b", SpanStyle.CODE)]


def test_two_dollars_that_are_no_formula_are_text() -> None:
    assert shown(read("$$ is the process\n\nand $$ again")) == ["$$ is the process", "and $$ again"]


@pytest.mark.parametrize("text", ["It costs $5 and $10.", "5$ or 6$, not more", "from $5-$10"])
def test_prices_are_not_formulas(text: str) -> None:
    assert spans(text) == (Span(text),)


def test_rules_and_fences_without_language() -> None:
    assert read("---\n\n```\na\n  b\n```") == [RuleBlock(), CodeBlock(text="a\n  b", fence=2)]


def test_a_reference_is_a_link_even_if_it_is_defined_later() -> None:
    text = "See [the page][1].\n\n[1]: https://example.org\n"

    assert read_in_pieces(text, 5) == read(text)
    assert [span.href for span in spans(text) if span.href] == ["https://example.org"]


@pytest.mark.parametrize("n_chars", [1, 2, 3, 7, 50])
def test_text_reads_the_same_however_it_arrives(n_chars: int) -> None:
    assert read_in_pieces(EVERYTHING, n_chars) == read(EVERYTHING)


LINES = st.sampled_from(
    """a|**b** c|- d|  - e|1. f|2. g|> h|```|```py|~~~|x = `1`|# i|---|$$|\\[|$l$|||    m|===|- [ ] p|\t- q
[n]: https://o|[n]""".replace("\n", "|").split("|")
)
TABLE_LINES = st.sampled_from(["| j | k |", "|---|---|", "| 1 | 2 |", "l", ""])


@settings(derandomize=True, deadline=None)
@given(st.lists(LINES, max_size=12) | st.lists(TABLE_LINES, max_size=8), st.integers(1, 20))
@example(["- d", "- d", "", "", "x"], 1)
@example(["$$", "- d", "$$"], 1)
def test_arrival_never_loses_or_repeats_text(lines: list[str], n_chars: int) -> None:
    """Blocks may differ where a list turns out loose at its end; the words in them may not."""
    text = "\n".join(lines)

    assert words(read_in_pieces(text, n_chars)) == words(read(text))


def words(blocks: list[Block]) -> str:
    found = []
    for block in blocks:
        match block:
            case TextBlock():
                found += [span.text for span in block.spans]
            case CodeBlock() | PlainBlock():
                found.append(block.text)
            case MathBlock():
                found.append(block.tex)
            case TableBlock():
                found += [span.text for row in block.rows for cell in row for span in cell]
    return "".join("".join(found).split())


def test_what_has_ended_is_not_read_again() -> None:
    made = MarkdownStream()
    made.feed("one\n\ntwo\n\nthr")
    made.advance()
    before = list(made.blocks)
    made.feed("ee")

    assert made.advance() == 2
    assert made.blocks[0] is before[0]
    assert shown(list(made.blocks)) == ["one", "two", "three"]


def test_items_of_a_list_end_one_by_one() -> None:
    made = MarkdownStream()
    made.feed("3. a\n4. b\n5. c\n6. d")

    made.advance()
    first_changed = made.advance()

    assert first_changed == 3
    assert shown(list(made.blocks)) == ["3. a", "4. b", "5. c", "6. d"]


@pytest.mark.parametrize("sign", ["-", "=", "#", "1.", "```", "*", "> -"])
def test_a_line_that_is_only_a_sign_so_far_is_not_shown(sign: str) -> None:
    made = MarkdownStream()
    made.feed(f"Some words:\n{sign}")
    made.advance()

    assert list(made.blocks) == [paragraph("Some words:")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so **bo", (Span("so "), Span("bo", SpanStyle.BOLD))),
        ("so **", (Span("so"),)),
        ("so `co", (Span("so "), Span("co", SpanStyle.CODE))),
        ("`a ** b` c", (Span("a ** b", SpanStyle.CODE), Span(" c"))),
    ],
)
def test_signs_of_unfinished_styles_do_not_flicker(text: str, expected: tuple[Span, ...]) -> None:
    made = MarkdownStream()
    made.feed(text)
    made.advance()

    assert list(made.blocks) == [TextBlock(spans=expected)]


def test_an_unfinished_listing_is_shown_as_it_grows() -> None:
    made = MarkdownStream()
    made.feed("```py\nx = 1\ny =")
    made.advance()
    assert list(made.blocks) == [CodeBlock(text="x = 1\ny =", language="py", is_closed=False)]

    made.feed(" 2\n``")
    made.advance()
    assert list(made.blocks) == [CodeBlock(text="x = 1\ny = 2", language="py", is_closed=False)]

    made.feed("`\nafter")
    made.advance()
    assert list(made.blocks) == [CodeBlock(text="x = 1\ny = 2", language="py"), paragraph("after")]


def test_a_fence_of_four_is_not_closed_by_three() -> None:
    text = "````md\n```\ninner\n```\n````\nafter"

    assert read_in_pieces(text, 1) == [CodeBlock(text="```\ninner\n```", language="md"), paragraph("after")]


def test_a_long_listing_comes_in_pieces_that_belong_together() -> None:
    code = "\n".join(f"line {n}" for n in range(1_000))

    blocks = [block for block in read(f"```\n{code}\n```\n") if isinstance(block, CodeBlock)]

    assert "\n".join(block.text for block in blocks) == code
    assert [block.is_first for block in blocks] == [True, False, False]
    assert [block.is_last for block in blocks] == [False, False, True]
    assert len({block.fence for block in blocks}) == 1


def test_nothing_that_is_nested_too_deep_is_lost() -> None:
    text = "> " * 50 + "hello"

    assert read(text) == [PlainBlock(text=text)]


def test_windows_line_ends_are_line_ends() -> None:
    assert read("a\r\n\r\nb") == [paragraph("a"), paragraph("b")]


HOSTILE = {
    "one line": "a" * 200_000,
    "words": "word " * 40_000,
    "brackets": "[" * 40_000,
    "images": "![" * 20_000,
    "stars": "*a" * 40_000,
    "quotes": ">" * 40_000,
    "underscores": "_a " * 30_000,
    "backticks": "`a" * 30_000,
    "dollars": "$a$ " * 20_000,
    "bullets": "- a\n" * 10_000,
    "nested": "\n".join("  " * depth + "- a" for depth in range(200)),
    "table": "|a|b|\n|-|-|\n" + "|x|y|\n" * 10_000,
    "code": "```\n" + "x" * 200_000,
    "empty": "\n" * 100_000,
    "formulas": "\\[\n" * 3_000,
    "definitions": "[a]: http://b\n" * 5_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_text_makes_one_step_long(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []

    def parse(piece: str, *arguments: object) -> list[parser.Section]:
        lengths.append(len(piece))
        return parser.parse(piece, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(stream, "parse", parse)
    made = MarkdownStream()
    made.feed(text)
    made.advance(0)

    assert max(lengths, default=0) <= stream.MAX_SECTION_CHARS + 100
    assert sum(lengths) <= 6 * stream.MAX_SECTION_CHARS


@pytest.mark.parametrize("name", ["one line", "words", "quotes", "code", "empty", "table"])
def test_hostile_text_is_read_to_its_end(name: str) -> None:
    text = HOSTILE[name]

    blocks = read(text)

    assert len(words(blocks)) >= sum(not c.isspace() and c not in ">`|-" for c in text)


def test_a_long_table_repeats_its_head() -> None:
    blocks = read("| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 1_000)

    assert all(isinstance(block, TableBlock) for block in blocks)
    assert sum(len(block.rows) - 1 for block in blocks if isinstance(block, TableBlock)) == 1_000
    assert len(blocks) > 1


def test_plain_text_is_cut_into_pieces_that_can_be_laid_out() -> None:
    text = "one\n\n  two\n" + "x" * 10_000

    pieces = [block.text for block in plain_blocks(text) if isinstance(block, PlainBlock)]

    assert pieces[0] == "one\n\n  two"
    assert "".join(pieces[1:]) == "x" * 10_000
    assert max(len(piece) for piece in pieces) <= 4_000
