from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.backend import devices
from engine.backend.devices import probe_engine
from engine.backend.ggml import DeviceKind
from engine.client.process import worker_environment
from engine.errors import EngineStopped


def test_the_processor_is_among_the_devices() -> None:
    engine = probe_engine(worker_environment(os.environ))
    assert DeviceKind.CPU in {device.kind for device in engine.devices}
    assert all(device.total_bytes >= device.free_bytes >= 0 for device in engine.devices)
    assert engine.llama_commit
    assert engine.llama_version


def test_libraries_that_are_missing_are_a_known_error(tmp_path: Path) -> None:
    with pytest.raises(EngineStopped, match="does not start"):
        probe_engine({**worker_environment(os.environ), "LLAMA_CPP_LIB_PATH": str(tmp_path)})


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("echo what", "no list of its devices"),
        ("kill -9 $$", "it said nothing"),
        ("echo a driver is broken >&2; exit 1", "a driver is broken"),
        ("exec sleep 60", "within 1 s"),
    ],
)
def test_a_child_that_fails_in_any_way_is_a_known_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, sentence: str
) -> None:
    interpreter = tmp_path / "python"
    interpreter.write_text(f"#!/bin/sh\n{program}\n", encoding="utf-8")
    interpreter.chmod(0o755)
    monkeypatch.setattr(devices.sys, "executable", str(interpreter))
    with pytest.raises(EngineStopped, match=sentence):
        probe_engine({"PATH": os.environ["PATH"]}, timeout_s=1)


@pytest.mark.parametrize(
    ("system_info", "features"),
    [
        ("CPU : AVX2 = 1 | FMA = 0 | LLAMAFILE = 1 | ", ("AVX2", "LLAMAFILE")),
        ("CUDA : ARCHS = 900 | USE_GRAPHS = 1 | CPU : SSE3 = 1 | ", ("ARCHS", "USE_GRAPHS", "SSE3")),
        ("", ()),
    ],
)
def test_features_are_read_from_the_system_line(system_info: str, features: tuple[str, ...]) -> None:
    assert devices._features(system_info) == features
