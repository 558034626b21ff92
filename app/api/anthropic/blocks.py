"""The content blocks that a model reads and writes here, the same in both directions."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec


class TextBlock(msgspec.Struct, tag_field="type", tag="text"):
    text: str


class ThinkingBlock(msgspec.Struct, tag_field="type", tag="thinking"):
    """``signature`` would prove who has thought it. It is not asked for, and empty."""

    thinking: str
    signature: str = ""


class RedactedThinkingBlock(msgspec.Struct, tag_field="type", tag="redacted_thinking"):
    """Nobody but who wrote it can read it."""


class ToolUseBlock(msgspec.Struct, tag_field="type", tag="tool_use"):
    id: str
    name: str
    input: dict[str, Any]


class ToolResultBlock(msgspec.Struct, tag_field="type", tag="tool_result"):
    tool_use_id: str
    content: str | list[TextBlock] | None = None
    is_error: bool | None = None


Text: TypeAlias = str | list[TextBlock]
Written: TypeAlias = TextBlock | ThinkingBlock | ToolUseBlock
"""What an answer is made of."""
