"""Models on demand: which ones are in memory besides the window's own, for whom, and for how long.

Clients of the API name a model; the pool loads it if the memory allows, lets all share it, and gives it back after a
while or when another one needs the room. Whoever builds a pool first makes a :class:`Primary` of the window's engine.
"""

from app.pool.errors import NotLoaded
from app.pool.memory import Machine, SystemMemory, Weight, spec_for_clients
from app.pool.pool import Held, ModelPool, PoolLimits
from app.pool.primary import Primary
from app.pool.slot import Lease

__all__ = [
    "Held",
    "Lease",
    "Machine",
    "ModelPool",
    "NotLoaded",
    "PoolLimits",
    "Primary",
    "SystemMemory",
    "Weight",
    "spec_for_clients",
]
