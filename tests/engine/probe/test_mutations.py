"""Thousands of model files that are wrong: each gives a sentence, and nothing dies but what is meant to."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from engine.client import WorkerClient
from engine.config import EngineConfig, LoadSpec
from engine.errors import ModelFileError
from engine.events import Event, LoadFailed, ModelLoaded
from engine.probe import HeaderProbe
from tests.doubles.gguf_mutator import Mutation, mutations

pytestmark = pytest.mark.slow

N_CASES = 2_000
EVERY = 90
"""A worker takes a third of a second, so only a sample goes through one here; tests/benchmarks/mutations.py has all."""


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Mutation]:
    return list(mutations(tmp_path_factory.mktemp("mutator")))


def test_there_are_enough(cases: list[Mutation]) -> None:
    assert len(cases) > N_CASES
    assert len({case.data for case in cases}) > N_CASES


def test_none_of_them_stops_an_import_without_a_sentence(tmp_path: Path, cases: list[Mutation]) -> None:
    probe, path = HeaderProbe(), tmp_path / "case.gguf"
    refused: list[tuple[str, str]] = []
    for case in cases:
        path.write_bytes(case.data)
        try:
            probe(path, "case.gguf", by_llama=True)
        except ModelFileError as error:
            refused.append((case.label, error.text))
    probe.rest()
    assert len(refused) > N_CASES // 2
    assert [told for told in refused if "case.gguf" not in told[1] or len(told[1]) > 400] == []
    died = [label for label, text in refused if "stopped while it loaded" in text]
    assert died == []  # each asks for a rule in engine/gguf/check.py


def test_a_worker_loads_them_or_says_why_not(tmp_path: Path, cases: list[Mutation]) -> None:
    for number, case in enumerate(cases[::EVERY]):
        path = tmp_path / f"case{number}.gguf"
        path.write_bytes(case.data)
        event = load(path)
        assert isinstance(event, ModelLoaded | LoadFailed), case.label
        if isinstance(event, LoadFailed):
            assert event.error.text.endswith("."), case.label


def load(path: Path) -> Event | None:
    """What comes of it."""
    outcomes: list[Event] = []
    is_over = threading.Event()

    def hear(event: Event) -> None:
        if isinstance(event, ModelLoaded | LoadFailed):
            outcomes.append(event)
            is_over.set()

    client = WorkerClient()
    client.subscribe(hear)
    client.load(LoadSpec(str(path), EngineConfig(n_ctx=256, n_threads=1, n_gpu_layers=0)))
    is_over.wait(20)
    client.close()
    return outcomes[0] if outcomes else None
