"""What llama.cpp itself says it would take for a load: it goes through one without taking memory for the model.

``python -m engine.backend.dryrun`` reads a LoadSpec as JSON from its standard input and prints a DryRun. In a process
of its own, because a file may end the process that reads it, and the devices' drivers hold memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import msgspec

from engine.config import LoadSpec
from engine.errors import EngineStopped
from engine.receipt import BufferKind, BufferUse

TIMEOUT_S = 30.0


class DryRun(msgspec.Struct, frozen=True):
    """Compute and output buffers by device. Weights and cells are not in it: their sizes are known beforehand."""

    buffers: tuple[BufferUse, ...]

    def compute_bytes(self) -> dict[str, int]:
        """By the device's name; the host's include the logits it reads."""
        sums: dict[str, int] = {}
        for buffer in self.buffers:
            sums[buffer.device] = sums.get(buffer.device, 0) + buffer.size_bytes
        return sums


def dry_run(spec: LoadSpec, environment: Mapping[str, str], timeout_s: float = TIMEOUT_S) -> DryRun:
    """Ask a child process. Blocks for a second or two. Raises EngineStopped where it has no answer."""
    command = [sys.executable, "-P", "-m", __name__]
    try:
        done = subprocess.run(
            command,
            env=dict(environment),
            input=msgspec.json.encode(spec),
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        return msgspec.json.decode(done.stdout, type=DryRun)
    except subprocess.TimeoutExpired as error:
        raise EngineStopped(f"The engine did not weigh the model within {timeout_s:.0f} s.") from error
    except msgspec.DecodeError as error:
        tail = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise EngineStopped(f"The engine could not weigh the model ({tail}).") from error


def run_dry(spec: LoadSpec) -> DryRun:
    """Do it in this process. Raises InvalidRequest, and MemoryError where llama.cpp gives up."""
    from engine.backend.bindings import diagnostics, lib
    from engine.backend.placement import Placement

    lib.llama_backend_init()
    placement = Placement(spec.config)
    log = placement.buffer_log()
    diagnostics().listener = log.hear
    params = lib.llama_model_default_params()
    placement.fill_model(params)
    params.no_alloc, params.load_mode = True, 0
    model = lib.llama_model_load_from_file(os.fsencode(spec.path), params)
    if not model:
        raise MemoryError(diagnostics().first_error)
    context_params = placement.context_params(model, spec.config)
    context_params.swa_full = spec.config.swa_full is not False
    context = lib.llama_init_from_model(model, context_params)
    diagnostics().listener = None
    if not context:
        raise MemoryError(diagnostics().first_error)
    kinds = (BufferKind.COMPUTE, BufferKind.OUTPUT)
    return DryRun(tuple(buffer for buffer in log.buffers() if buffer.kind in kinds))


if __name__ == "__main__":
    answer = run_dry(msgspec.json.decode(sys.stdin.buffer.read(), type=LoadSpec))
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    sys.stdout.buffer.flush()
    os._exit(0)  # without tearing the drivers down, which takes longer than the answer
