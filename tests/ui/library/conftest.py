"""A window on a hub of ours, and the library's page in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.doubles.gguf import make_tiny_gguf
from tests.doubles.hub_server import HubServer
from tests.ui.library.shop import Shop
from tests.ui.world import World, make_entry


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    server = HubServer()
    tiny = make_tiny_gguf(tmp_path / "tiny-source.gguf").read_bytes()
    card = b"# Tiny\n\nA **small** model. [Paper](https://example.org/paper) ![x](https://example.org/x.png)\n"
    server.add("maker/Tiny-GGUF", {"tiny-Q4_K_M.gguf": tiny, "tiny-Q8_0.gguf": tiny + b"\0" * 64, "README.md": card})
    server.add("maker/Gated-GGUF", {"gated-Q4_K_M.gguf": tiny}, gated="manual", allowed_tokens=("hf_good",))
    server.add("maker/Weights", {"model.safetensors": b"x" * 64, "README.md": b"# Weights"}, info={"tags": []})
    server.accounts["hf_good"] = "somebody"
    with server.running():
        yield server


@pytest.fixture
def shop(make_world: Callable[..., World], hub: HubServer) -> Shop:
    """The library's page, open, with nothing on this machine but one model."""
    return Shop(make_world(make_entry()), hub)
