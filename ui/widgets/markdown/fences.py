"""A fenced listing that is still open: its lines are text and need no Markdown reader."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ui.widgets.markdown.blocks import CodeBlock

MAX_PIECE_LINES = 400
MAX_PIECE_CHARS = 24_000
MAX_LINE_CHARS = 4_000
"""Longer lines are broken on the screen; copying the message gives them whole."""

_OPENING = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_CLOSING = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*")


@dataclass(slots=True)
class OpenFence:
    """``lines`` are those of the present piece; ``key`` is the line of the whole text where the fence stands."""

    opener: str
    indent: int
    language: str
    key: int
    lines: list[str] = field(default_factory=list)
    n_chars: int = 0
    is_first: bool = True

    @classmethod
    def at(cls, line: str, key: int) -> OpenFence | None:
        """The fence that ``line`` opens, or None if it opens none."""
        match = _OPENING.fullmatch(line)
        if match is None or (match[1][0] == "`" and "`" in match[2]):
            return None
        words = match[2].split()
        return cls(match[1], len(line) - len(line.lstrip(" ")), words[0] if words else "", key)

    @property
    def is_full(self) -> bool:
        return len(self.lines) >= MAX_PIECE_LINES or self.n_chars >= MAX_PIECE_CHARS

    def closes(self, line: str) -> bool:
        match = _CLOSING.fullmatch(line)
        return match is not None and match[1].startswith(self.opener)

    def may_close(self, line: str) -> bool:
        """Whether an unfinished line could still become the end of the listing."""
        return not line.strip().strip(self.opener[0]) and len(line) <= len(self.opener) + 3

    def add(self, line: str) -> None:
        stripped = line[: self.indent].lstrip(" ") + line[self.indent :]
        self.lines.extend(_broken(stripped))
        self.n_chars += len(line)

    def piece(self, unfinished_line: str | None, is_last: bool, is_closed: bool) -> CodeBlock:
        lines = self.lines if unfinished_line is None else [*self.lines, unfinished_line]
        return CodeBlock(
            text="\n".join(lines),
            language=self.language,
            fence=self.key,
            is_first=self.is_first,
            is_last=is_last,
            is_closed=is_closed,
        )

    def start_piece(self) -> None:
        self.lines, self.n_chars, self.is_first = [], 0, False


def _broken(line: str) -> Iterator[str]:
    for start in range(0, max(len(line), 1), MAX_LINE_CHARS):
        yield line[start : start + MAX_LINE_CHARS]
