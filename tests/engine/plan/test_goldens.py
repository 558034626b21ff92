"""Plans of well-known models on well-known machines, as lines that a person can judge.

After a change that is meant: ``python -m tests.engine.plan.test_goldens`` writes them anew, and the diff is reviewed.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from engine.plan import MemoryPlan, plan
from engine.plan.words import rate_text
from tests.doubles.machines import MACHINES, MIB, shape_of

GOLDENS = Path(__file__).with_name("goldens.json")
MODELS = (
    "llama-1b",
    "llama-8b",
    "llama-70b",
    "qwen3-30b-a3b",
    "gemma3-27b",
    "deepseek-v2-lite",
    "granite-h-tiny",
    "qwen3-next-80b",
    "gpt-oss-20b",
)


def line(made: MemoryPlan) -> str:
    """``full_gpu, 32768 x f16, 33 layers, CUDA0 8711 MiB, CPU 509 MiB, 233 tok/s``"""
    parts = [str(made.verdict), f"{made.n_ctx} x {made.kv_type}", f"{made.n_gpu_layers} layers"]
    if made.n_ffn_on_cpu:
        parts.append(f"{made.n_ffn_on_cpu} kept back")
    if sum(map(bool, made.tensor_split)) > 1:
        parts.append("split " + ":".join(f"{count:.0f}" for count in made.tensor_split))
    parts += [f"{share.device.name} {share.total_bytes // MIB} MiB" for share in made.shares]
    if made.missing_bytes:
        parts.append(f"{made.missing_bytes // MIB} MiB missing")
    if made.decode_tokens_per_s:
        parts.append(f"{rate_text(made.decode_tokens_per_s)} tok/s")
    return ", ".join(parts)


def all_lines(folder: Path, name: str) -> dict[str, str]:
    shape = shape_of(folder, name)
    return {machine: line(plan(shape, devices)) for machine, devices in MACHINES.items()}


@pytest.mark.parametrize("name", MODELS)
def test_plans_are_as_reviewed(tmp_path: Path, name: str) -> None:
    assert all_lines(tmp_path, name) == json.loads(GOLDENS.read_text(encoding="utf-8"))[name]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        lines = {name: all_lines(Path(folder), name) for name in MODELS}
    GOLDENS.write_text(json.dumps(lines, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
