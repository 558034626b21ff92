"""The two servers that are compared, started on the same file with the same threads."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

READY_S = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(
    command: Sequence[str], port: int, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server from the moment that it answers until the end of the block."""
    process = subprocess.Popen(
        command, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_ready(process, port)
        yield process
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def hearth(model: Path, home: Path, n_ctx: int, n_parallel: int, *options: str) -> Iterator[int]:
    """``./run serve``; yields its port."""
    port = free_port()
    arguments = ["--port", str(port), "--model", str(model), "--context", str(n_ctx), "--parallel", str(n_parallel)]
    command = [sys.executable, "-m", "app", "serve", "--no-auth", *arguments, *options]
    with running(command, port, {"HEARTH_HOME": str(home)}):
        yield port


@contextlib.contextmanager
def llama_server(
    folder: Path, environment: dict[str, str], model: Path, n_ctx: int, n_parallel: int, *options: str
) -> Iterator[int]:
    """llama.cpp's own server, with one pool of cells as Hearth has it and its RAM cache as it comes."""
    port = free_port()
    arguments = ["-m", str(model), "-c", str(n_ctx), "-np", str(n_parallel), "--kv-unified", "--port", str(port)]
    with running([str(folder / "llama-server"), *arguments, *options], port, environment):
        yield port


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline_s = time.monotonic() + READY_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with code {process.returncode}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.05)  # a server cannot be waited for in another way
    raise RuntimeError("the server did not get ready")
