"""Conversations: a tree of messages each, kept in one SQLite file, and the answers that stream into them."""

from app.chats.service import ChatService
from app.chats.store import ChatStore

__all__ = ["ChatService", "ChatStore"]
