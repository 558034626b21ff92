from __future__ import annotations

from pathlib import Path

import pytest

from app.library import ModelEntry, Source
from app.plans import Planner
from engine.errors import ModelFileError
from engine.gguf import read_header
from engine.plan import Corrections, Verdict, Wishes
from tests.doubles.geometries import write_geometry
from tests.doubles.machines import MIB, FakeMachine, cpu, gpu


def _entry(path: Path, *parts: Path) -> ModelEntry:
    return ModelEntry("m", path, "M", "llama", "Q4_K_M", 1, 1, 1, Source.LINKED, parts=parts)


def test_an_entry_a_file_and_a_remote_header_get_the_same_plan(tmp_path: Path) -> None:
    path = write_geometry(tmp_path / "model.gguf", "llama-8b")
    planner = Planner(FakeMachine())
    by_file = planner.plan_for(path)
    assert by_file.verdict is Verdict.FULL_GPU
    assert planner.plan_for(_entry(path)) == by_file == planner.plan_for(read_header(path))


def test_all_parts_of_a_model_count(tmp_path: Path) -> None:
    path = write_geometry(tmp_path / "model.gguf", "llama-1b")
    planner = Planner(FakeMachine())
    whole = planner.shape_of(path)
    assert planner.shape_of(_entry(path, path, path)).size_bytes == 2 * whole.size_bytes
    assert planner.shape_of([read_header(path)] * 2).size_bytes == 2 * whole.size_bytes


def test_a_header_is_read_again_only_when_its_file_changed(tmp_path: Path) -> None:
    path = write_geometry(tmp_path / "model.gguf", "llama-1b")
    planner = Planner(FakeMachine())
    before = planner.shape_of(path)
    assert planner.shape_of(path) is before
    write_geometry(path, "llama-8b")
    assert planner.shape_of(path).n_layers == 32


def test_receipts_of_that_model_are_asked_for(tmp_path: Path) -> None:
    machine = FakeMachine(gpu(24), cpu(), corrections=Corrections(other_bytes={0: 321 * MIB}))
    path = write_geometry(tmp_path / "model.gguf", "llama-8b")
    made = Planner(machine).plan_for(_entry(path))
    assert made.shares[0].other_bytes == 321 * MIB
    assert machine.asked == [str(path)]


def test_wishes_and_other_devices_are_taken(tmp_path: Path) -> None:
    planner, path = Planner(FakeMachine()), write_geometry(tmp_path / "model.gguf", "llama-8b")
    made = planner.plan_for(path, Wishes(n_ctx=4096), (cpu(),))
    assert (made.verdict, made.n_ctx) == (Verdict.CPU_ONLY, 4096)


def test_a_file_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="not there"):
        Planner(FakeMachine()).plan_for(tmp_path / "gone.gguf")
