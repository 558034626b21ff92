"""The server as other programs have it: a process on a port, a real worker, and OpenAI's own client."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest

from app.paths import Paths
from tests.doubles.gguf import make_tiny_gguf

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 60.0
QUESTION: Any = [{"role": "user", "content": "hello"}]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="needs SIGINT")]


@dataclass
class Server:
    process: subprocess.Popen[str]
    url: str
    key_file: Path

    def client(self, key: str | None = None) -> openai.OpenAI:
        key = key or self.key_file.read_text().strip()
        return openai.OpenAI(base_url=self.url, api_key=key, max_retries=0, timeout=PATIENCE_S)

    def worker(self) -> psutil.Process:
        return next(c for c in psutil.Process(self.process.pid).children() if "engine.worker" in c.cmdline())


@contextmanager
def served(home: Path) -> Iterator[Server]:
    paths = Paths.below(home)
    paths.ensure()
    make_tiny_gguf(paths.models / "tiny.gguf")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HEARTH_HOME": str(home)}
    command = [sys.executable, "-P", "-m", "app", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            ready = process.stderr.readline()
            address = re.search(r"http://127\.0\.0\.1:\d+/v1", ready)
            assert address is not None, ready + process.stderr.read()
            yield Server(process, address.group(), paths.config / "api-key")
        finally:
            process.kill()


def test_openais_client_works_unchanged(tmp_path: Path) -> None:
    with served(tmp_path) as server, closing(server.client()) as client:
        check_models(client)
        check_whole_answer(client)
        check_stream(client)
        check_refusals(server, client)
        check_abort(server, client)
        listening = [c for c in psutil.Process(server.process.pid).net_connections() if c.status == "LISTEN"]
        assert [connection.laddr.ip for connection in listening] == ["127.0.0.1"]
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE_S) == 0


def test_other_models_are_loaded_when_a_client_asks_for_them(tmp_path: Path) -> None:
    paths = Paths.below(tmp_path)
    paths.ensure()
    make_tiny_gguf(paths.models / "zebra.gguf", seed=1)
    with served(tmp_path) as server, closing(server.client()) as client:
        first = server.worker()
        ids = []
        for model in ("zebra", "tiny", "default", "zebra"):
            answer = client.chat.completions.create(model=model, messages=QUESTION, max_tokens=1)
            ids.append(answer.model)
        assert ids == ["zebra", "tiny", "tiny", "zebra"]
        workers = [c for c in psutil.Process(server.process.pid).children() if "engine.worker" in c.cmdline()]
        assert len(workers) == 2
        assert first in workers
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE_S) == 0
        assert psutil.wait_procs(workers, PATIENCE_S)[1] == []


def check_models(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert model.id == "tiny"
    assert client.models.retrieve("tiny") == model


def check_whole_answer(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": QUESTION, "max_tokens": 5, "temperature": 0, "logprobs": True}
    answer = client.chat.completions.create(**asked)
    again = client.chat.completions.create(**asked)
    assert answer.choices[0].message.content == again.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5
    assert again.usage is not None
    assert again.usage.prompt_tokens_details is not None
    assert again.usage.prompt_tokens_details.cached_tokens
    assert answer.choices[0].logprobs is not None
    extra: Any = answer
    assert extra.timings["predicted_n"] == 5


def check_stream(client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(
            model="tiny", messages=QUESTION, max_tokens=20, temperature=0, stream=True, stream_options=options
        )
    )
    whole = client.chat.completions.create(model="tiny", messages=QUESTION, max_tokens=20, temperature=0)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == whole.choices[0].message.content
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 20


def check_refusals(server: Server, client: openai.OpenAI) -> None:
    with closing(server.client("wrong")) as stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="other", messages=QUESTION, max_tokens=1)
    long: Any = [{"role": "user", "content": "x" * 5000}]
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="tiny", messages=long, max_tokens=1)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(
            model="tiny", messages=QUESTION, max_tokens=1, response_format=bomb(), timeout=PATIENCE_S
        )


def bomb() -> Any:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(200):
        schema = {"type": "array", "items": schema, "maxItems": 1000}
    return {"type": "json_schema", "json_schema": {"name": "bomb", "schema": schema}}


def check_abort(server: Server, client: openai.OpenAI) -> None:
    """A client that leaves stops its request: the worker comes to rest, and is still the same one."""
    worker = server.worker()
    stream = client.chat.completions.create(model="tiny", messages=QUESTION, max_tokens=4000, stream=True)
    next(iter(stream))
    stream.close()
    answer: Any = client.chat.completions.create(model="tiny", messages=QUESTION, max_tokens=1)
    assert answer.usage.completion_tokens == 1
    assert server.worker() == worker
