"""llama.cpp's own tools, built from the source that llama-cpp-python vendors, so that both sides run the same kernels.

``HEARTH_PEERS`` names a folder with ``llama-bench`` and the libraries that are its own; the rest comes from the
environment's ``llama_cpp/lib``. Some builds have the tools in there too, and then nothing needs to be named.
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

BENCH_TIMEOUT_S = 120


@contextlib.contextmanager
def peer_tools(named: Path | None = None) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder of tools that run, and the environment to run them with.

    Library links that were stored as little text files (as some archives do) are made links again, in a copy.
    """
    source = named or Path(os.environ.get("HEARTH_PEERS") or _llama_libraries())
    if not (source / "llama-bench").is_file():
        sys.exit("Set HEARTH_PEERS to a folder that holds llama-bench.")
    if _works_as_it_is(source):
        yield source, _environment(source)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in source.iterdir():
            target = folder / file.name
            if _is_link_as_text(file):
                target.symlink_to(file.read_text().strip())
            elif file.is_file():
                shutil.copy2(file, target)
                target.chmod(0o755)
        yield folder, _environment(folder)


def llama_bench(
    folder: Path, environment: Mapping[str, str], model: Path, n_threads: int, n_tokens: int, *options: str
) -> list[float]:
    """Decode speed in tokens/s, one sample a repetition, of ``llama-bench -n n_tokens``.

    One repetition, unless the ``options`` say otherwise.
    """
    arguments = ["-m", str(model), "-p", "0", "-n", str(n_tokens), "-t", str(n_threads), "-o", "json"]
    repetitions = () if "-r" in options else ("-r", "1")
    finished = subprocess.run(
        [str(folder / "llama-bench"), *arguments, *repetitions, *options],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=BENCH_TIMEOUT_S,
    )
    return [float(sample) for sample in json.loads(finished.stdout)[0]["samples_ts"]]


def _works_as_it_is(folder: Path) -> bool:
    return os.access(folder / "llama-bench", os.X_OK) and not any(_is_link_as_text(file) for file in folder.iterdir())


def _is_link_as_text(file: Path) -> bool:
    return file.name.startswith("lib") and file.is_file() and file.stat().st_size < 200


def _environment(folder: Path) -> dict[str, str]:
    before = os.environ.get("LD_LIBRARY_PATH")
    return {"LD_LIBRARY_PATH": ":".join(filter(None, (str(folder), str(_llama_libraries()), before)))}


def _llama_libraries() -> Path:
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.submodule_search_locations is None:
        sys.exit("llama-cpp-python is not installed.")
    return Path(next(iter(spec.submodule_search_locations))) / "lib"
