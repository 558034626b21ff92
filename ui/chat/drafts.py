"""What was written but not sent, for each conversation, while the app runs."""

from __future__ import annotations


class Drafts:
    """The key None is the conversation that does not exist yet."""

    def __init__(self) -> None:
        self._texts: dict[int | None, str] = {}

    def keep(self, conversation_id: int | None, text: str) -> None:
        if text.strip():
            self._texts[conversation_id] = text
        else:
            self.drop(conversation_id)

    def of(self, conversation_id: int | None) -> str:
        return self._texts.get(conversation_id, "")

    def drop(self, conversation_id: int | None) -> None:
        self._texts.pop(conversation_id, None)
