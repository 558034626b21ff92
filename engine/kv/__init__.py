"""Which tokens are in which cells of the KV cache, in RAM and on disk, and who may use them."""

from engine.kv.costs import Costs
from engine.kv.disk import DiskTier
from engine.kv.errors import KvError
from engine.kv.paged import Lease, PagedKv

__all__ = ["Costs", "DiskTier", "KvError", "Lease", "PagedKv"]
