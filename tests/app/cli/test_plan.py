from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli import plan
from app.cli.terminal import EXIT_DONE, EXIT_FAILED, Terminal
from app.paths import Paths
from app.settings import SettingsStore
from engine.errors import ModelFileError
from tests.doubles.geometries import write_geometry
from tests.doubles.gguf import make_tiny_gguf
from tests.doubles.hub_server import HubServer
from tests.doubles.machines import FakeMachine, cpu, gpu


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setattr(plan, "LocalMachine", lambda *_: FakeMachine(gpu(12), cpu()))
    paths = Paths.below(tmp_path)
    paths.ensure()
    return paths


def _run(paths: Paths, *words: str) -> tuple[int, str]:
    parser, stdout = argparse.ArgumentParser(), io.StringIO()
    plan.add_arguments(parser)
    code = plan.run(parser.parse_args(words), paths, Terminal(io.StringIO(), stdout, io.StringIO()))
    return code, stdout.getvalue()


def test_a_file_gets_a_sentence_a_table_and_the_reasons(paths: Paths, tmp_path: Path) -> None:
    code, text = _run(paths, str(write_geometry(tmp_path / "model.gguf", "llama-8b")))
    assert code == EXIT_DONE
    assert text.startswith("All of it fits on A GPU, at about ")
    assert "CUDA0   12.0 GiB" in text
    assert "- Context: 32,768 tokens" in text


def test_a_model_of_the_library_is_found_by_its_id(paths: Paths) -> None:
    write_geometry(paths.models / "some.gguf", "llama-1b")
    assert "CUDA0" in _run(paths, "some")[1]


def test_other_memory_can_be_tried(paths: Paths, tmp_path: Path) -> None:
    path = str(write_geometry(tmp_path / "model.gguf", "llama-8b"))
    assert "stay with the processor" in _run(paths, path, "--free", "4")[1]
    assert "No GPU" in _run(paths, path, "--free", "0", "--context", "4096")[1].replace("There is no GPU", "No GPU")
    both = json.loads(_run(paths, path, "--free", "3", "3.5", "--json")[1])
    assert [share["device"]["name"] for share in both["shares"]] == ["CUDA0", "CUDA1", "CPU"]


def test_json_is_the_whole_plan(paths: Paths, tmp_path: Path) -> None:
    made = json.loads(_run(paths, str(write_geometry(tmp_path / "model.gguf", "llama-8b")), "--json")[1])
    assert made["verdict"] == "full_gpu"
    assert made["n_gpu_layers"] == 33


def test_what_would_not_run_is_a_failure(paths: Paths, tmp_path: Path) -> None:
    path = str(write_geometry(tmp_path / "model.gguf", "deepseek-v3"))
    code, text = _run(paths, path)
    assert code == EXIT_FAILED
    assert "too big" in text


def test_an_unknown_model_is_said_to_be_unknown(paths: Paths) -> None:
    with pytest.raises(ModelFileError, match="no model nothing"):
        _run(paths, "nothing")


@pytest.fixture
def hub(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    tiny = make_tiny_gguf(tmp_path / "tiny.gguf").read_bytes()
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    server = HubServer()
    server.add("owner/tiny", {"tiny-Q8_0.gguf": tiny, "tiny-Q4_K_M.gguf": tiny})
    with server.running():
        settings = SettingsStore(paths.settings_file)
        settings.update(hub_endpoint=server.endpoint)
        settings.flush()
        yield server


def test_a_repository_is_planned_from_the_beginning_of_its_file(paths: Paths, hub: HubServer) -> None:
    code, text = _run(paths, "owner/tiny")
    assert code == EXIT_DONE
    assert text.startswith("All of it fits on A GPU")
    assert _run(paths, "owner/tiny:q8_0") == (code, text)


def test_a_type_that_is_not_there_is_answered_with_those_that_are(paths: Paths, hub: HubServer) -> None:
    with pytest.raises(ModelFileError) as caught:
        _run(paths, "owner/tiny:Q2_K")
    assert "Q4_K_M" in caught.value.hint
