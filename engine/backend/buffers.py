"""Which buffers llama.cpp took, read from its log: it states each one with its size, and nowhere else.

::

    load_tensors:        CUDA0 model buffer size =  4403.49 MiB
    llama_kv_cache:      CUDA0 KV buffer size =  1024.00 MiB
    llama_context:  CUDA_Host  output buffer size =     0.49 MiB
    sched_reserve:      CUDA0 compute buffer size =   258.50 MiB
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from engine.receipt import BufferKind, BufferUse

_LINE = re.compile(r"^\w+:\s+(\S+)\s+(model|KV|RS|compute|output|LoRA) buffer size =\s*([\d.]+) MiB")
_KINDS = {
    "model": BufferKind.WEIGHTS,
    "KV": BufferKind.KV,
    "RS": BufferKind.STATE,
    "compute": BufferKind.COMPUTE,
    "output": BufferKind.OUTPUT,
    "LoRA": BufferKind.ADAPTER,
}
_OF_THE_CONTEXT = frozenset({BufferKind.KV, BufferKind.STATE, BufferKind.COMPUTE, BufferKind.OUTPUT})
_LATEST_COUNTS = frozenset({BufferKind.COMPUTE, BufferKind.OUTPUT})
"""These are allotted anew when the graph changes; the others add up."""


class BufferLog:
    """Adds up what the log says. Thread: the one that loads; its lines come on that thread."""

    def __init__(self, owners: Mapping[str, str], host: str) -> None:
        """``owners`` names the devices by their buffers. ``host`` has every buffer that is no other device's."""
        self._owners = sorted(owners.items(), key=lambda pair: len(pair[0]), reverse=True)
        self._host = host
        self._bytes: dict[tuple[BufferKind, str], int] = {}

    def hear(self, line: str) -> None:
        """Take one line of the log."""
        found = _LINE.match(line)
        if found is None:
            return
        key = _KINDS[found[2]], found[1]
        size_bytes = round(float(found[3]) * (1 << 20))
        self._bytes[key] = size_bytes + (0 if key[0] in _LATEST_COUNTS else self._bytes.get(key, 0))

    def forget_context(self) -> None:
        """A context could not be made and is tried anew."""
        self._bytes = {key: size for key, size in self._bytes.items() if key[0] not in _OF_THE_CONTEXT}

    def buffers(self) -> tuple[BufferUse, ...]:
        return tuple(
            BufferUse(self._device(name), name, kind, size_bytes)
            for (kind, name), size_bytes in self._bytes.items()
            if size_bytes > 0
        )

    def _device(self, buffer: str) -> str:
        """CUDA0_Split is CUDA0's, CUDA_Host and CPU_REPACK are the processor's."""
        for name, device in self._owners:
            if buffer == name or buffer.startswith(f"{name}_"):
                return device
        return self._host
