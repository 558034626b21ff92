"""From a model and the user's wishes to a load, and to a smaller one when memory runs out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.library import Library, ModelEntry
from app.paths import Paths
from app.plans import Loader, Planner
from app.plans.applied import config_of
from app.settings import LoadWishes
from engine.config import EngineConfig, LoadSpec
from engine.errors import EngineStopped
from engine.plan import Device, Verdict
from tests.doubles.geometries import write_geometry
from tests.doubles.machine import FakeMachine, make_cpu, make_gpu

GIB = 1 << 30


class World:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        paths = Paths.below(folder)
        paths.ensure()
        self.path = write_geometry(paths.models / "8b.gguf", "llama-8b")
        self.entry: ModelEntry = Library(paths).find(str(self.path))
        self.machine = FakeMachine(make_gpu(12 * GIB, 12 * GIB), make_cpu())
        self.loader = Loader(Planner(self.machine))
        self.dry_runs: list[LoadSpec] = []
        monkeypatch.setattr("app.plans.loader.dry_run", self.refuse)

    def refuse(self, spec: LoadSpec, _environment: object) -> None:
        self.dry_runs.append(spec)
        raise EngineStopped("There is no engine here.")

    def spec(self) -> LoadSpec:
        return self.loader.spec(self.entry, LoadWishes(n_ctx=8192), LoadSpec(str(self.path)))

    def leave_free(self, n_bytes: int) -> None:
        gpu, cpu = self.machine.known
        self.machine.known = (replace(gpu, free_bytes=n_bytes), cpu)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_a_plan_becomes_the_settings_of_a_load_with_what_it_expects(world: World) -> None:
    spec = world.spec()
    plan = world.loader.plan_of(spec.path)
    assert plan is not None
    assert plan.verdict is Verdict.FULL_GPU
    assert spec.config.devices == ("CUDA0",)
    assert (spec.config.n_ctx, spec.config.n_gpu_layers) == (8192, plan.n_gpu_layers)
    assert {share.device for share in spec.planned} == {"CUDA0", "CPU"}


def test_the_devices_are_asked_anew_for_each_load(world: World) -> None:
    n_layers = world.spec().config.n_gpu_layers
    world.leave_free(3 * GIB)
    now = world.spec().config.n_gpu_layers
    assert n_layers is not None
    assert now is not None
    assert now < n_layers or world.spec().config.tensor_overrides


def test_llama_cpp_weighs_only_what_goes_to_a_gpu(world: World) -> None:
    world.spec()
    assert [spec.path for spec in world.dry_runs] == [str(world.path)]
    world.machine.known = (make_cpu(),)
    config = world.spec().config
    assert len(world.dry_runs) == 1
    assert (config.devices, config.n_gpu_layers, config.tensor_overrides) == ((), 0, ())


def test_memory_that_others_took_meanwhile_leads_to_what_fits_now(world: World) -> None:
    failed = world.spec()
    world.leave_free(3 * GIB)
    shrunk = world.loader.shrink(failed)
    assert shrunk is not None
    assert sum(share.total_bytes for share in shrunk.spec.planned if share.device == "CUDA0") <= 3 * GIB
    assert shrunk.sentence.startswith("Memory ran out, so the model is loaded again with ")


def test_after_three_that_did_not_fit_only_the_processor_is_left(world: World) -> None:
    spec, sizes = world.spec(), []
    while (shrunk := world.loader.shrink(spec)) is not None:
        spec = shrunk.spec
        sizes.append(sum(share.total_bytes for share in spec.planned if share.device == "CUDA0"))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes.index(0) == 3


def test_a_file_that_was_not_planned_is_not_shrunk(world: World) -> None:
    assert world.loader.shrink(LoadSpec("/elsewhere.gguf")) is None


def test_without_devices_llama_cpp_chooses(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> tuple[Device, ...]:
        raise EngineStopped("It does not start.")

    monkeypatch.setattr(world.machine, "devices", fail)
    spec = world.spec()
    assert spec.config == EngineConfig(n_ctx=8192)
    assert spec.planned == ()


def test_layers_are_split_between_the_gpus_that_have_a_share(world: World) -> None:
    small, large = make_gpu(4 * GIB, 4 * GIB), replace(make_gpu(5 * GIB, 6 * GIB, "CUDA1"), index=2)
    world.machine.known = (small, make_cpu(), large)
    spec = world.spec()
    assert spec.config.devices == ("CUDA0", "CUDA1")
    assert len(spec.config.tensor_split) == 2
    plan = world.loader.plan_of(spec.path)
    assert plan is not None
    assert config_of(plan, world.machine.known) == spec.config
