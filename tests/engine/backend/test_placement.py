"""Settings of a load as llama.cpp takes them, and what it says before it takes anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.backend.dryrun import dry_run
from engine.backend.llama import LlamaBackend
from engine.client.process import worker_environment
from engine.config import EngineConfig, LoadSpec
from engine.errors import EngineStopped, InvalidRequest
from engine.receipt import BufferKind, PlannedShare
from tests.doubles.gguf import make_tiny_gguf


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(make_tiny_gguf(tmp_path / "tiny.gguf"))


def loaded(model: str, *planned: PlannedShare, **config: object) -> LlamaBackend:
    spec = LoadSpec(model, EngineConfig(n_ctx=512, n_threads=1, **config), planned=planned)  # type: ignore[arg-type]
    return LlamaBackend(spec, lambda _progress: None)


def test_a_dry_run_tells_what_the_load_then_takes(model: str) -> None:
    spec = LoadSpec(model, EngineConfig(n_ctx=512, n_threads=1, devices=()))
    foretold = dry_run(spec, worker_environment(os.environ)).compute_bytes()
    backend = LlamaBackend(spec, lambda _progress: None)
    receipt = backend.receipt()
    backend.close()
    kinds = (BufferKind.COMPUTE, BufferKind.OUTPUT)
    assert foretold == {"CPU": sum(receipt.measured_bytes("CPU", kind) for kind in kinds)}


def test_a_dry_run_of_what_is_no_model_is_a_known_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(EngineStopped, match="could not weigh"):
        dry_run(LoadSpec(str(path)), worker_environment(os.environ))


def test_cells_of_another_type_take_what_they_should_and_are_told_apart(model: str) -> None:
    plain, small = loaded(model), loaded(model, kv_type_k="q8_0", kv_type_v="q8_0", flash_attention=True)
    half = plain.receipt().measured_bytes("CPU", BufferKind.KV) * 17 // 32  # 34 bytes for 32 values of 16 bits
    assert small.receipt().measured_bytes("CPU", BufferKind.KV) == pytest.approx(half, abs=8192)
    assert plain.layout.fingerprint != small.layout.fingerprint
    plain.close()
    small.close()


def test_the_receipt_has_what_was_planned(model: str) -> None:
    share = PlannedShare("CPU", weights_bytes=1000, kv_bytes=10)
    backend = loaded(model, share)
    (use,) = backend.receipt().devices
    backend.close()
    assert use.planned == share
    assert use.total_bytes >= use.free_before_bytes > 0


def test_weights_can_be_kept_by_a_device_by_their_names(model: str) -> None:
    backend = loaded(model, tensor_overrides=((r"blk\.0\.ffn_.*", "CPU"),), use_mmap=False, devices=())
    assert backend.info.n_ctx == 512
    backend.close()


@pytest.mark.parametrize(
    "config",
    [{"devices": ("CUDA7",)}, {"tensor_overrides": ((".*", "CUDA7"),)}],
)
def test_a_device_that_is_not_there_is_said_so(model: str, config: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest, match="no device CUDA7"):
        loaded(model, **config)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (EngineConfig(kv_type_k="q9"), "kv_type_k is q9"),
        (EngineConfig(kv_type_v="q8_0", flash_attention=False), "need flash attention"),
        (EngineConfig(tensor_split=(1.0, -1.0)), "must not be negative"),
        (EngineConfig(tensor_split=(float("nan"),)), "must not be negative"),
        (EngineConfig(devices=("CUDA0",), tensor_split=(1.0, 1.0)), "2 parts for 1 devices"),
        (EngineConfig(tensor_overrides=(("(", "CPU"),)), "no regular expression"),
        (EngineConfig(tensor_overrides=(("", "CPU"),)), "no regular expression"),
    ],
)
def test_settings_that_make_no_sense_are_a_sentence(config: EngineConfig, sentence: str) -> None:
    assert sentence in (config.problem() or "")
