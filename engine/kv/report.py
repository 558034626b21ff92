from engine.reuse import ConversationCache, KvUsage, Reason, ReuseReport

__all__ = ["ConversationCache", "KvUsage", "Reason", "ReuseReport"]
