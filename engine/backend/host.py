"""The machine's own memory. ggml calls all of it free, so the system is asked. Knows no llama.cpp."""

from __future__ import annotations

from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")


def host_memory(cgroup: Path = _CGROUP) -> tuple[int, int]:
    """Free and total bytes: what can be taken without anything being swapped out, within what a container may have."""
    memory = psutil.virtual_memory()
    limits = _container(cgroup)
    if limits is None:
        return memory.available, memory.total
    return min(memory.available, limits[0]), min(memory.total, limits[1])


def _container(cgroup: Path) -> tuple[int, int] | None:
    """What a container (control groups, version 2) may still take and has in all; None where nothing limits it.

    Cached files that were not used lately count as used there, though they go before anything else.
    """
    try:
        limit = (cgroup / "memory.max").read_text(encoding="ascii").strip()
        used_bytes = int((cgroup / "memory.current").read_text(encoding="ascii"))
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text(encoding="ascii").splitlines())
        if limit == "max":
            return None
        limit_bytes = int(limit)
        reclaimable_bytes = int(stat.get("inactive_file", 0)) + int(stat.get("active_file", 0))
    except (OSError, ValueError):
        return None
    return max(0, limit_bytes - used_bytes + reclaimable_bytes), limit_bytes
