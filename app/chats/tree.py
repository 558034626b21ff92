"""The shape of a conversation: who follows whom, without any text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MessageTree:
    """A parent's id is smaller than its children's; a link that breaks this rule, or leads nowhere, is a root's.

    ``children`` are in the order they were made; those of None are the roots.
    """

    parents: Mapping[int, int | None]
    children: Mapping[int | None, list[int]]

    @classmethod
    def of(cls, links: Iterable[tuple[int, int | None]]) -> MessageTree:
        """From (id, parent id) pairs in any order."""
        given = dict(sorted(links))
        parents = {
            child: parent if parent is not None and parent in given and parent < child else None
            for child, parent in given.items()
        }
        children: dict[int | None, list[int]] = {}
        for child, parent in parents.items():
            children.setdefault(parent, []).append(child)
        return cls(parents, children)

    def path_to(self, message_id: int | None) -> list[int]:
        """Ids from the root to that message; empty for None and for a message that is not here."""
        path: list[int] = []
        while message_id is not None and message_id in self.parents:
            path.append(message_id)
            message_id = self.parents[message_id]
        return path[::-1]

    def siblings(self, message_id: int) -> list[int]:
        """Messages with the same parent, itself included."""
        return self.children[self.parents[message_id]]

    def newest_leaf(self, message_id: int | None) -> int | None:
        """Down from a message by the newest child each time; None stands above the roots."""
        while message_id in self.children:
            message_id = self.children[message_id][-1]
        return message_id
