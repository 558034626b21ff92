"""Throughput of a download on loopback beside curl's, hashing included, and how long a window's thread waits.

    python -m tests.benchmarks.download [--gigabytes 4] [--folder PLACE] [--rounds 3]

A sparse file is served with sendfile by a process of its own. Each round lets curl fetch it, and then Hearth's
downloader: several connections, SHA-256 of all bytes, sync and rename. In the same process an offscreen Qt application
measures the gaps between the ticks of a timer of 5 ms.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.downloads import Downloads, DownloadState
from app.hub import Hub, TokenStore
from app.hub.types import FileGroup, FileKind, Gated, RemoteFile, Repository, RepoSummary
from app.settings import SettingsStore
from tests.doubles.hub_server import sparse_file

COMMIT = "a" * 40
REPO = "bench/big-GGUF"
NAME = "big-Q4_K_M.gguf"
TICK_MS = 5


def serve(path: Path, sha256: str) -> None:
    """The server's process: a hub with one file, as fast as the system can."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)  # noqa: T201 - the parent reads it
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve_one, args=(connection, path, sha256), daemon=True).start()


def _serve_one(connection: socket.socket, path: Path, sha256: str) -> None:
    size = path.stat().st_size
    requests = connection.makefile("rb")
    with path.open("rb") as file, connection:
        while line := requests.readline():
            lines = []
            while (header := requests.readline()) not in (b"\r\n", b""):
                lines.append(header.decode().lower())
            asked = re.search(r"range: bytes=(\d+)-(\d*)", "".join(lines))
            start, end = (int(asked[1]), int(asked[2] or size - 1) + 1) if asked else (0, size)
            head = [f"HTTP/1.1 {206 if asked else 200} OK", f"Content-Length: {end - start}", 'ETag: "one"']
            head += [f"X-Linked-Etag: {sha256}", f"X-Linked-Size: {size}", f"X-Repo-Commit: {COMMIT}"]
            head += [f"Content-Range: bytes {start}-{end - 1}/{size}"] if asked else []
            connection.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
            while start < end and not line.startswith(b"HEAD"):
                start += os.sendfile(connection.fileno(), file.fileno(), start, min(end - start, 1 << 24))


@contextmanager
def served(path: Path, sha256: str) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.benchmarks.download", "--serve", str(path), sha256]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


@dataclass
class Gaps:
    """Milliseconds by which a timer of the window's thread came late."""

    late_ms: list[float]

    def at(self, share: float) -> float:
        ordered = sorted(self.late_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def with_curl(url: str, target: Path, *, syncs: bool) -> float:
    began_s = time.perf_counter()
    subprocess.run(["curl", "-sS", "-o", str(target), url], check=True)
    if syncs:
        subprocess.run(["sync", str(target)], check=True)
    seconds = time.perf_counter() - began_s
    target.unlink()
    return seconds


def with_hearth(endpoint: str, folder: Path, size_bytes: int, sha256: str) -> tuple[float, Gaps]:
    """Seconds until the file is whole under its name."""
    from PySide6.QtCore import QCoreApplication, QElapsedTimer, QTimer

    application = QCoreApplication.instance() or QCoreApplication([])
    settings = SettingsStore(folder / "settings.json")
    settings.update(hub_endpoint=endpoint)
    hub = Hub(lambda: settings.current, TokenStore(folder / "token.json", environ={}, signed_in=lambda: None))
    downloads = Downloads(folder / "models", folder / "queue.json", hub, settings, lambda finished: None)
    clock, gaps = QElapsedTimer(), Gaps([])

    def tick() -> None:
        gaps.late_ms.append(max(0.0, clock.nsecsElapsed() / 1e6 - TICK_MS))
        clock.start()
        if downloads.items()[0].state in (DownloadState.DONE, DownloadState.FAILED):
            application.quit()

    timer = QTimer()
    timer.setTimerType(timer.timerType().PreciseTimer)
    timer.setInterval(TICK_MS)
    timer.timeout.connect(tick)
    began_s = time.perf_counter()
    downloads.enqueue(_repository(endpoint, size_bytes, sha256), _group(size_bytes, sha256))
    clock.start()
    timer.start()
    application.exec()
    seconds = time.perf_counter() - began_s
    item = downloads.items()[0]
    downloads.close()
    hub.close()
    assert item.state is DownloadState.DONE, item
    shutil.rmtree(folder / "models")
    return seconds, gaps


def _group(size_bytes: int, sha256: str) -> FileGroup:
    return FileGroup(FileKind.MODEL, "Q4_K_M", "big-Q4_K_M", (RemoteFile(NAME, size_bytes, sha256),))


def _repository(endpoint: str, size_bytes: int, sha256: str) -> Repository:
    summary = RepoSummary(REPO, 0, 0, None, None, Gated.NO, False, True, False, None, None, None, None, None)
    group = _group(size_bytes, sha256)
    return Repository(REPO, COMMIT, endpoint, endpoint, summary, "", None, Gated.NO, None, (group,), None)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--serve", nargs=2, metavar=("FILE", "SHA256"))
    arguments = parser.parse_args()
    if arguments.serve:
        serve(Path(arguments.serve[0]), arguments.serve[1])
    size_bytes = int(arguments.gigabytes * 2**30)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        _measure(Path(name), size_bytes, arguments.rounds)


def _measure(folder: Path, size_bytes: int, n_rounds: int) -> None:
    source = sparse_file(folder / "source", size_bytes)
    sha256 = sha256_of(source)
    results: dict[str, list[float]] = {
        "curl": [],
        "curl_and_sync": [],
        "hearth": [],
        "gap_p99_ms": [],
        "gap_max_ms": [],
    }
    with served(source, sha256) as endpoint:
        for _ in range(n_rounds):
            results["curl"].append(size_bytes / with_curl(f"{endpoint}/x", folder / "curl", syncs=False) / 1e6)
            results["curl_and_sync"].append(size_bytes / with_curl(f"{endpoint}/x", folder / "curl", syncs=True) / 1e6)
            seconds, gaps = with_hearth(endpoint, folder, size_bytes, sha256)
            results["hearth"].append(size_bytes / seconds / 1e6)
            results["gap_p99_ms"].append(gaps.at(0.99))
            results["gap_max_ms"].append(gaps.at(1.0))
    median = {name: round(statistics.median(values), 1) for name, values in results.items()}
    ratio = round(median["hearth"] / median["curl"], 2)
    print(json.dumps({"MB/s and ms": median, "hearth/curl": ratio, "all": results}, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
