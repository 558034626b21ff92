"""Which tokens are in which cells of the KV cache, and who may use them."""

from engine.kv.manager import KvError, KvManager, Lease

__all__ = ["KvError", "KvManager", "Lease"]
