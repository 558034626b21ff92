"""A real worker process behind the client: answers, deaths, and files that cannot be loaded."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from engine.client import WorkerClient
from engine.client.process import worker_environment
from engine.config import EngineConfig, LoadSpec
from engine.events import (
    EngineFailed,
    LoadFailed,
    ModelLoaded,
    ModelLoading,
    ModelUnloaded,
    RequestFailed,
    RequestFinished,
    TokensEmitted,
)
from engine.types import ChatMessage, FinishReason, GenerationRequest, RequestId, Role, SamplingParams
from tests.doubles.gguf import make_tiny_gguf
from tests.doubles.recorder import Recorder

GREEDY = SamplingParams(temperature=0.0)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture
def client() -> Iterator[WorkerClient]:
    client = WorkerClient()
    yield client
    client.close()


@pytest.fixture
def events(client: WorkerClient) -> Recorder:
    recorder = Recorder()
    client.subscribe(recorder)
    return recorder


@pytest.fixture
def loaded(client: WorkerClient, events: Recorder, tiny: Path) -> WorkerClient:
    client.load(LoadSpec(str(tiny), EngineConfig(n_ctx=2048, n_threads=1)))
    events.wait(ModelLoaded)
    return client


@pytest.fixture
def talker(client: WorkerClient, events: Recorder, starter_model: Path) -> WorkerClient:
    """A model whose long answer takes long: the tiny one is done before anything could happen to it."""
    client.load(LoadSpec(str(starter_model), EngineConfig(n_ctx=4096, n_threads=1)))
    events.wait(ModelLoaded)
    return client


def make_request(name: str, text: str = "hello", max_tokens: int | None = 5) -> GenerationRequest:
    return GenerationRequest(RequestId(name), (ChatMessage(Role.USER, text),), GREEDY, max_tokens)


def test_a_question_is_answered(loaded: WorkerClient, events: Recorder) -> None:
    loaded.submit(make_request("a"))

    outcome = events.outcome(RequestId("a"))

    assert isinstance(outcome, RequestFinished)
    assert outcome.usage.n_output <= 5
    assert outcome.usage.n_ctx == 2048
    assert outcome.timings.first_token_s is not None


def test_a_question_asked_while_the_model_loads_waits_for_it(
    client: WorkerClient, events: Recorder, tiny: Path
) -> None:
    client.load(LoadSpec(str(tiny), EngineConfig(n_threads=1)))
    client.submit(make_request("early"))

    assert isinstance(events.outcome(RequestId("early")), RequestFinished)
    assert events.of(ModelLoading)[0].progress == 0.0


def test_a_question_without_a_model_fails_with_a_sentence(client: WorkerClient, events: Recorder) -> None:
    client.submit(make_request("a"))

    outcome = events.outcome(RequestId("a"))

    assert isinstance(outcome, RequestFailed)
    assert outcome.error.kind == "NoModel"


def test_a_running_answer_can_be_stopped_and_keeps_its_text(talker: WorkerClient, events: Recorder) -> None:
    talker.submit(make_request("long", "Write a very long story about the sea.", max_tokens=None))
    events.wait(TokensEmitted)
    talker.cancel(RequestId("long"))

    outcome = events.outcome(RequestId("long"))

    assert isinstance(outcome, RequestFinished)
    assert outcome.reason is FinishReason.CANCELLED
    assert outcome.usage.n_output > 0


def test_a_request_that_waits_for_the_load_can_be_cancelled(client: WorkerClient, events: Recorder, tiny: Path) -> None:
    client.load(LoadSpec(str(tiny), EngineConfig(n_threads=1)))
    client.submit(make_request("early", max_tokens=None))
    client.cancel(RequestId("early"))

    outcome = events.outcome(RequestId("early"))

    assert isinstance(outcome, RequestFinished)
    assert outcome.reason is FinishReason.CANCELLED


def test_an_unloaded_model_gives_its_process_back(loaded: WorkerClient, events: Recorder) -> None:
    worker = psutil.Process(loaded.worker_pid)
    loaded.unload()
    events.wait(ModelUnloaded)

    assert not worker.is_running()


def test_a_second_load_replaces_the_first(talker: WorkerClient, events: Recorder, tiny: Path) -> None:
    first = talker.worker_pid
    talker.submit(make_request("long", "Write a very long story about the sea.", max_tokens=None))
    events.wait(TokensEmitted)
    talker.load(LoadSpec(str(tiny), EngineConfig(n_ctx=512, n_threads=1)))

    events.wait(ModelLoaded, lambda event: event.info.n_ctx == 512)

    assert isinstance(events.outcome(RequestId("long")), RequestFailed)
    assert talker.worker_pid != first


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
@pytest.mark.parametrize("kind", ["SIGKILL", "SIGSEGV", "SIGABRT", "SIGSTOP"])
def test_a_worker_that_dies_in_the_middle_of_an_answer_costs_only_that_answer(
    talker: WorkerClient, events: Recorder, kind: str
) -> None:
    talker.submit(make_request("long", "Write a very long story about the sea.", max_tokens=None))
    events.wait(TokensEmitted)
    worker_pid = talker.worker_pid
    assert worker_pid is not None
    os.kill(worker_pid, getattr(signal, kind))
    died_s = time.monotonic()

    outcome = events.outcome(RequestId("long"))
    talker.submit(make_request("next"))
    answer = events.outcome(RequestId("next"))

    assert isinstance(outcome, RequestFailed)
    assert outcome.error.kind == "EngineStopped"
    assert events.text(RequestId("long"))
    assert [failure.restarting for failure in events.of(EngineFailed)] == [True]
    assert isinstance(answer, RequestFinished)
    assert time.monotonic() - died_s < 30  # the promise is 5 s on a quiet machine; see benchmarks/recovery.py
    assert not psutil.pid_exists(worker_pid)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_a_worker_that_keeps_dying_is_not_started_for_ever(loaded: WorkerClient, events: Recorder) -> None:
    for n_deaths in (1, 2, 3):
        worker_pid = loaded.worker_pid
        assert worker_pid is not None
        os.kill(worker_pid, signal.SIGKILL)
        events.wait(EngineFailed, lambda _, n=n_deaths: len(events.of(EngineFailed)) == n)
        if n_deaths < 3:
            events.wait(ModelLoaded, lambda _, n=n_deaths: len(events.of(ModelLoaded)) == n + 1)
    loaded.submit(make_request("late"))

    assert [failure.restarting for failure in events.of(EngineFailed)] == [True, True, False]
    assert isinstance(events.outcome(RequestId("late")), RequestFailed)


def _text_file(path: Path) -> None:
    path.write_text("This is not a model, it is a letter.\n" * 100)


def _truncated(path: Path) -> None:
    make_tiny_gguf(path)
    os.truncate(path, path.stat().st_size * 2 // 3)


def _no_blocks(path: Path) -> None:
    make_tiny_gguf(path, metadata={"llama.block_count": 0})


def _too_many_blocks(path: Path) -> None:
    make_tiny_gguf(path, metadata={"llama.block_count": 10_000})


def _missing(path: Path) -> None:
    assert not path.exists()


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("spoil", [_text_file, _truncated, _no_blocks, _too_many_blocks, _missing, _folder])
def test_a_file_that_cannot_be_loaded_is_one_sentence(
    client: WorkerClient, events: Recorder, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    path = tmp_path / "broken.gguf"
    spoil(path)
    client.load(LoadSpec(str(path)))

    failure = events.wait(LoadFailed)

    assert failure.error.kind == "ModelFileError"
    assert failure.error.text.endswith(".")
    assert "\n" not in failure.error.text
    assert events.of(EngineFailed) == []


@pytest.mark.skipif(sys.platform == "win32", reason="permissions work differently")
def test_a_file_without_read_permission_is_one_sentence(
    client: WorkerClient, events: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_tiny_gguf(tmp_path / "locked.gguf")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    client.load(LoadSpec(str(path)))

    assert "permission" in events.wait(LoadFailed).error.text.lower()


def test_a_model_that_kills_the_loader_is_reported_and_not_loaded_again(
    client: WorkerClient, events: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = tmp_path / "engine_stand_in.py"
    stand_in.write_text("import os\nos.write(2, b'HEARTH-ABORT /a/b.cpp:7: GGML_ASSERT(no) failed\\n')\nos.abort()\n")
    monkeypatch.setattr("engine.client.process.worker_command", lambda: [sys.executable, str(stand_in)])
    client.load(LoadSpec("/models/poison.gguf"))

    failure = events.wait(LoadFailed)

    assert "b.cpp:7: GGML_ASSERT(no) failed" in failure.error.text
    assert len(events.of(ModelLoading)) == 1


def test_the_worker_ends_with_its_parents_pipe(loaded: WorkerClient, events: Recorder) -> None:
    worker = psutil.Process(loaded.worker_pid)
    loaded.close()

    assert not worker.is_running()


def test_no_secret_reaches_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"HF_TOKEN": "hf_x", "AWS_SECRET_ACCESS_KEY": "x", "HTTPS_PROXY": "http://u:p@h", "OPENAI_API_KEY": "sk"}

    kept = worker_environment({**secrets, "PATH": "/bin", "OMP_NUM_THREADS": "2", "LC_ALL": "C"})

    assert not set(kept) & set(secrets)
    assert (kept["OMP_NUM_THREADS"], kept["GGML_NO_BACKTRACE"]) == ("2", "1")


def test_a_subscriber_that_fails_does_not_hurt_the_others(
    loaded: WorkerClient, events: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_event: object) -> None:
        raise RuntimeError("a subscriber's bug")

    unsubscribe = loaded.subscribe(broken)
    loaded.submit(make_request("a"))

    assert isinstance(events.outcome(RequestId("a")), RequestFinished)
    unsubscribe()
    assert "a subscriber failed" in caplog.text
