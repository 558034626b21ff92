"""How long a list of many models takes to be there: the first time, in a new process, and again.

python -m tests.benchmarks.library [--models 1000]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from app.library import Library
from app.paths import Paths
from engine.probe import HeaderProbe
from tests.doubles.gguf import make_tiny_gguf


def timed(what: str, work: Callable[[], object]) -> None:
    began_s = time.perf_counter()
    work()
    print(f"{what:45} {1000 * (time.perf_counter() - began_s):8.1f} ms")  # noqa: T201 - a program run by hand


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=1000)
    n_models = parser.parse_args().models
    with tempfile.TemporaryDirectory() as home:
        paths = Paths.below(Path(home))
        paths.ensure()
        data = make_tiny_gguf(Path(home, "one.gguf")).read_bytes()
        for number in range(n_models):
            folder = paths.models / f"owner{number % 40}" / f"Model-{number}-GGUF"
            folder.mkdir(parents=True)
            (folder / f"Model-{number}-Q4_K_M.gguf").write_bytes(data)
        first = Library(paths, HeaderProbe())
        timed(f"{n_models:,} models that nobody has read", first.known)
        timed("reading them in the probe's process", first.entries)
        first.close()
        timed("in a new process, read before", lambda: Library(paths).known())
        again = Library(paths)
        again.known()
        timed("again", again.known)
        timed("one of them by its id", lambda: again.find("owner3/Model-3-GGUF/Model-3-Q4_K_M"))


if __name__ == "__main__":
    main()
