from __future__ import annotations

from engine.backend.buffers import BufferLog
from engine.receipt import BufferKind, BufferUse, DeviceUse, Receipt

MIB = 1 << 20
LOG = """\
load_tensors:   CPU_Mapped model buffer size =   140.91 MiB
load_tensors:        CUDA0 model buffer size =   700.00 MiB
load_tensors:  CUDA0_Split model buffer size =    27.75 MiB
llama_context:  CUDA_Host  output buffer size =    15.50 MiB
llama_kv_cache:      CUDA0 KV buffer size =   100.00 MiB
llama_kv_cache:      CUDA0 KV buffer size =    28.00 MiB
llama_memory_recurrent:      CUDA1 RS buffer size =     2.00 MiB
sched_reserve:      CUDA0 compute buffer size =    64.25 MiB
sched_reserve:  CUDA_Host compute buffer size =    12.00 MiB
sched_reserve: graph: nodes = 503, splits = 2
"""


def heard(log: str = LOG) -> BufferLog:
    buffers = BufferLog({"CUDA0": "CUDA0", "CUDA1": "CUDA1", "CUDA10": "CUDA10"}, "CPU")
    for line in log.splitlines():
        buffers.hear(line)
    return buffers


def receipt_of(log: BufferLog, *uses: DeviceUse) -> Receipt:
    return Receipt(log.buffers(), uses)


def test_every_buffer_of_the_log_is_its_devices() -> None:
    receipt = receipt_of(heard())
    assert receipt.measured_bytes("CUDA0", BufferKind.WEIGHTS) == int(727.75 * MIB)
    assert receipt.measured_bytes("CUDA0", BufferKind.KV) == 128 * MIB
    assert receipt.measured_bytes("CUDA1") == 2 * MIB
    assert receipt.measured_bytes("CPU", BufferKind.OUTPUT) == int(15.5 * MIB)
    assert BufferUse("CPU", "CPU_Mapped", BufferKind.WEIGHTS, round(140.91 * MIB)) in receipt.buffers


def test_a_graph_that_is_reserved_again_takes_the_place_of_the_one_before() -> None:
    log = heard()
    log.hear("sched_reserve:      CUDA0 compute buffer size =    80.00 MiB")
    assert receipt_of(log).measured_bytes("CUDA0", BufferKind.COMPUTE) == 80 * MIB


def test_a_context_that_is_tried_again_counts_once() -> None:
    log = heard()
    log.forget_context()
    log.hear("llama_kv_cache:      CUDA0 KV buffer size =    50.00 MiB")
    receipt = receipt_of(log)
    assert receipt.measured_bytes("CUDA0", BufferKind.KV) == 50 * MIB
    assert receipt.measured_bytes("CUDA0", BufferKind.WEIGHTS) == int(727.75 * MIB)
    assert receipt.measured_bytes("CUDA0", BufferKind.COMPUTE) == 0


def test_what_a_device_lost_beyond_its_buffers_is_other() -> None:
    use = DeviceUse("CUDA1", 100 * MIB, free_before_bytes=90 * MIB, free_after_bytes=80 * MIB)
    assert receipt_of(heard(), use).other_bytes(use) == 8 * MIB


def test_other_is_never_less_than_nothing() -> None:
    use = DeviceUse("CUDA1", 100 * MIB, free_before_bytes=80 * MIB, free_after_bytes=90 * MIB)
    assert receipt_of(heard(), use).other_bytes(use) == 0
