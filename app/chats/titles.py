"""What a conversation is called before somebody names it."""

from __future__ import annotations

NEW_TITLE = "New conversation"
_MAX_TITLE_LENGTH = 60


def title_from(text: str) -> str:
    """The first line that says something, cut at a word where that leaves enough."""
    line = next((" ".join(line.split()) for line in text.splitlines() if line.strip()), NEW_TITLE)
    if len(line) <= _MAX_TITLE_LENGTH:
        return line
    cut = line[: _MAX_TITLE_LENGTH - 1]
    at_word = cut.rpartition(" ")[0]
    return (at_word if len(at_word) > _MAX_TITLE_LENGTH // 2 else cut) + "…"
