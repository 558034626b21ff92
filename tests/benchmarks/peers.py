"""llama.cpp's own tools, built from the source that llama-cpp-python vendors, so that both sides run the same kernels.

``HEARTH_PEERS`` names a folder with ``llama-bench`` and the libraries that are its own; the rest comes from the
environment's ``llama_cpp/lib``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path


@contextlib.contextmanager
def peer_tools() -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder of tools that run, and the environment to run them with.

    Library links that were stored as little text files (as some archives do) are made links again.
    """
    named = os.environ.get("HEARTH_PEERS")
    if not named:
        sys.exit("Set HEARTH_PEERS to a folder that holds llama-bench.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for source in Path(named).iterdir():
            target = folder / source.name
            if source.stat().st_size < 200 and source.name.startswith("lib"):
                target.symlink_to(source.read_text().strip())
            else:
                shutil.copy2(source, target)
                target.chmod(0o755)
        yield folder, {"LD_LIBRARY_PATH": f"{folder}:{_llama_libraries()}"}


def llama_bench(
    folder: Path, environment: Mapping[str, str], model: Path, n_threads: int, n_tokens: int
) -> list[float]:
    """Decode speed in tokens/s, one sample a repetition, of ``llama-bench -n n_tokens``."""
    arguments = ["-m", str(model), "-p", "0", "-n", str(n_tokens), "-t", str(n_threads), "-r", "1", "-o", "json"]
    finished = subprocess.run(
        [str(folder / "llama-bench"), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(sample) for sample in json.loads(finished.stdout)[0]["samples_ts"]]


def _llama_libraries() -> Path:
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.submodule_search_locations is None:
        sys.exit("llama-cpp-python is not installed.")
    return Path(next(iter(spec.submodule_search_locations))) / "lib"
