from __future__ import annotations

import argparse
import io
import json
import os
import sys
from pathlib import Path
from typing import cast

import pytest

from app.cli import doctor
from app.cli.examination import Report, examine
from app.cli.terminal import Terminal
from app.library.starter import STARTER_FILE_NAME
from app.paths import Paths
from engine.backend.devices import EngineBuild

DISPLAY = {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths.below(tmp_path / "hearth")
    paths.ensure()
    (paths.models / STARTER_FILE_NAME).write_bytes(b"GGUF")
    return paths


def environment(**changes: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in DISPLAY} | changes


def report_on(paths: Paths, **changes: str) -> Report:
    return examine(paths, "1.2.3", environment(**changes))


def called(paths: Paths, *arguments: str) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    doctor.add_arguments(parser)
    terminal = Terminal(io.StringIO(), io.StringIO(), io.StringIO())
    code = doctor.run(parser.parse_args(arguments), paths, "1.2.3", terminal)
    return code, cast(io.StringIO, terminal.stdout).getvalue()


def test_the_machine_is_described(paths: Paths) -> None:
    report = report_on(paths)
    assert report.cpu.n_threads >= report.cpu.n_cores >= 1
    assert report.memory.total_bytes > report.memory.available_bytes > 0
    assert report.versions["Hearth"] == "1.2.3"
    assert report.starter_model == str(paths.models / STARTER_FILE_NAME)
    assert {folder.name for folder in report.folders} == {"data", "config", "cache", "logs", "models"}


def test_the_engine_tells_its_devices_and_the_commit_of_llama_cpp(paths: Paths) -> None:
    engine = report_on(paths).engine
    assert engine
    assert "cpu" in {device.kind for device in engine.devices}
    assert all(device.total_bytes >= device.free_bytes >= 0 for device in engine.devices)
    assert engine.llama_commit[:7].isalnum()


def test_text_and_json_say_the_same(paths: Paths) -> None:
    code, text = called(paths)
    json_code, as_json = called(paths, "--json")
    report = json.loads(as_json)
    assert code == json_code
    assert report["cpu"]["name"] in text
    assert report["engine"]["llama_commit"] in text
    assert all(problem["text"] in text for problem in report["problems"])


def test_a_healthy_machine_has_no_problem_and_exit_code_0(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.examination._LOW_DISK_BYTES", 0)
    monkeypatch.setattr("app.cli.examination._LOW_MEMORY_BYTES", 0)
    code, text = called(paths)
    assert "Nothing is wrong." in text, text
    assert code == 0


def test_a_folder_that_is_none_is_a_problem(paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    texts = [problem.text for problem in report_on(Paths.below(tmp_path / "file")).problems]
    assert f"Hearth cannot write to {tmp_path / 'file' / 'data'}." in texts


def test_a_missing_starter_model_is_a_problem(paths: Paths) -> None:
    (paths.models / STARTER_FILE_NAME).unlink()
    report = report_on(paths)
    assert report.starter_model is None
    assert any("starter model" in problem.text for problem in report.problems)


def test_an_engine_that_does_not_start_is_a_problem_and_not_the_end(paths: Paths, tmp_path: Path) -> None:
    report = report_on(paths, LLAMA_CPP_LIB_PATH=str(tmp_path / "nothing here"))
    assert report.engine is None
    assert any(problem.kind == "EngineStopped" for problem in report.problems)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a display")
def test_no_display_is_no_problem(paths: Paths) -> None:
    report = report_on(paths)
    assert report.display is None
    assert not any("window" in problem.text.lower() for problem in report.problems)


@pytest.mark.skipif(sys.platform != "linux", reason="X11")
def test_a_display_that_does_not_answer_is_a_problem(paths: Paths) -> None:
    report = report_on(paths, DISPLAY="127.0.0.1:6999", QT_QPA_PLATFORM="xcb")
    assert any("The window cannot open" in problem.text for problem in report.problems)


@pytest.mark.parametrize(
    ("has_on_cpu", "in_engine", "word"),
    [((), ("AVX2",), "another processor"), (("avx2",), (), "slower")],
)
def test_an_engine_compiled_for_another_processor_is_noticed(
    paths: Paths,
    monkeypatch: pytest.MonkeyPatch,
    has_on_cpu: tuple[str, ...],
    in_engine: tuple[str, ...],
    word: str,
) -> None:
    facts = {"model name": "Other", "flags": " ".join((*has_on_cpu, "sse4_2"))}
    build = EngineBuild("0", "0", "abc", in_engine, ())
    monkeypatch.setattr("app.cli.examination._cpu_facts", lambda: facts)
    monkeypatch.setattr("app.cli.examination.probe_engine", lambda environment: build)
    assert any(word in problem.text for problem in report_on(paths).problems)
