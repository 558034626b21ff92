"""The model that ``./run`` brings along, so that there is something to talk to at once."""

from __future__ import annotations

from pathlib import Path

STARTER_FILE_NAME = "SmolLM2-135M-Instruct-Q4_1.gguf"


def starter_file(models: Path) -> Path:
    """Where it lies in the models folder, once it is there."""
    return models / STARTER_FILE_NAME
