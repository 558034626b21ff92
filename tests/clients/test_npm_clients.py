"""The API as the npm clients of others use it: OpenAI's own and Vercel's AI SDK, each in a script of its own.

Both need Node.js and, once, the registry that npm is set up with; without them the tests are skipped. With
HEARTH_TEST_CLIENTS=1 they fail instead. What is installed stays in the virtual environment, never in the tree.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from engine.types import GenerationRequest, RequestId, Role, ToolCall
from tests.doubles.http_api import KEY
from tests.doubles.loopback import on_loopback
from tests.doubles.scripted_engine import Reply, ScriptedEngine, says, starts_with
from tests.doubles.vendors import Embedding, thinks_and_calls

HERE = Path(__file__).parent
PACKAGE_FILES = ("package.json", "package-lock.json")
INSTALLED = Path(sys.prefix) / "share" / "npm-clients"
INSTALL = (
    "npm",
    "ci",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--fetch-retries=1",
    "--fetch-retry-mintimeout=500",
)
UNFINISHED = "unfinished-"
INSTALL_LIMIT_S = 90
RUN_LIMIT_S = 60
MIN_NODE = 20
MANY = 100
"""More questions than any script asks."""

REPLIES: dict[str, Reply] = {
    "Hello": says("Good morning"),
    "A city?": says('{"name":"Oslo","people":700000}'),
    "The weather?": thinks_and_calls(),
    "Go on for ever": starts_with("Once"),
}


class Answering(Embedding):
    """Answers by the last message, and, when asked to, says that an answer was cancelled as soon as one is."""

    def __init__(self) -> None:
        super().__init__(*[_by_last_message] * MANY)
        self._waiting: list[RequestId] = []
        self.on_cancel = lambda request_id: self._say_over()

    def say_when_cancelled(self, request_id: RequestId) -> None:
        self._waiting.append(request_id)
        if self.cancelled:
            self._say_over()

    def _say_over(self) -> None:
        while self._waiting:
            self.answer(self._waiting.pop(), "It is over")


def _by_last_message(engine: ScriptedEngine, request: GenerationRequest) -> None:
    last = request.messages[-1]
    if last.content == "Say when that is over":
        assert isinstance(engine, Answering)
        engine.say_when_cancelled(request.id)
    elif last.role is Role.TOOL:
        says("It is sunny.")(engine, request)
    else:
        REPLIES[last.content](engine, request)


@pytest.fixture(scope="module")
def clients() -> Path:
    """The folder in which the clients of the lock file are installed."""
    _check_node()
    texts = b"".join((HERE / name).read_bytes() for name in PACKAGE_FILES)
    folder = INSTALLED / hashlib.sha256(texts).hexdigest()[:16]
    if not folder.is_dir():
        _install(folder)
    return folder


def _check_node() -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        _do_without(f"Node.js {MIN_NODE} or newer, with npm, is not installed.")
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    version = re.match(r"v(\d+)\.", said)
    if version is None or int(version[1]) < MIN_NODE:
        _do_without(f"Node.js {MIN_NODE} or newer is needed; this is {said or 'unknown'}.")


def _do_without(reason: str) -> NoReturn:
    if os.environ.get("HEARTH_TEST_CLIENTS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def _install(folder: Path) -> None:
    """Beside the folder first: what has its final name is complete, also when two runs install at the same time."""
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=INSTALLED, ignore_cleanup_errors=True) as name:
        for file in PACKAGE_FILES:
            shutil.copy(HERE / file, name)
        _fetch(name)
        try:
            Path(name).rename(folder)
        except OSError:
            if not folder.is_dir():  # or else the other run was faster
                raise
    for other in INSTALLED.iterdir():
        if other != folder and not other.name.startswith(UNFINISHED):
            shutil.rmtree(other, ignore_errors=True)


def _fetch(folder: str) -> None:
    try:
        done = subprocess.run(INSTALL, cwd=folder, capture_output=True, text=True, check=False, timeout=INSTALL_LIMIT_S)
    except subprocess.TimeoutExpired:
        _do_without(f"npm did not install the clients within {INSTALL_LIMIT_S} seconds.")
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        _do_without(" ".join(["npm could not install the clients:", *errors[:3]]))


def run_script(script: str, clients: Path, address: str) -> subprocess.CompletedProcess[str]:
    """A copy of the script, where it finds the clients, and with nothing of this process's environment but PATH."""
    with tempfile.TemporaryDirectory(dir=clients) as folder:
        shutil.copy(HERE / script, folder)
        return subprocess.run(
            ["node", "--test", "--test-reporter=spec", script],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HEARTH_BASE_URL": f"{address}/v1", "HEARTH_API_KEY": KEY},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=RUN_LIMIT_S,
        )


@pytest.mark.parametrize("script", ["openai.mjs", "ai.mjs"])
def test_a_client_finds_what_it_expects(script: str, clients: Path) -> None:
    engine = Answering()
    with on_loopback(engine) as address:
        done = run_script(script, clients, address)
    assert done.returncode == 0, done.stdout
    assert len(engine.cancelled) == 1
    assert_the_shape_was_asked_for(engine)
    assert_the_results_of_tools_came_back(engine)


def assert_the_shape_was_asked_for(engine: ScriptedEngine) -> None:
    schemas = [request.sampling.json_schema for request in engine.submitted]
    assert ["people" in schema for schema in schemas if schema] == [True]


def assert_the_results_of_tools_came_back(engine: ScriptedEngine) -> None:
    """Once for a whole answer and once for a streamed one."""
    turns = [request.messages for request in engine.submitted if request.messages[-1].role is Role.TOOL]
    assert len(turns) == 2
    for _, called, *results in turns:
        assert called.tool_calls == (
            ToolCall("call_a", "weather", '{"city":"Rome"}'),
            ToolCall("call_b", "clock", "{}"),
        )
        assert [(result.name, result.content) for result in results] == [("weather", "Sunny"), ("clock", "Sunny")]
