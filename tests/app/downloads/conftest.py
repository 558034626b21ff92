"""A hub on loopback with one small model, and the downloads that fetch from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.downloading import FILE, REPO, Downloading, downloading, model_bytes
from tests.doubles.hub_server import HubServer


@pytest.fixture
def data() -> bytes:
    return model_bytes()


@pytest.fixture
def server(data: bytes) -> Iterator[HubServer]:
    server = HubServer()
    server.add(REPO, {"README.md": b"# Tiny", FILE: data})
    with server.running():
        yield server


@pytest.fixture
def world(tmp_path: Path, server: HubServer) -> Iterator[Downloading]:
    with downloading(tmp_path, server) as made:
        yield made
