"""A process that keeps conversations on disk until it is killed. Says a line when one is there, and begins the next."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

from tests.engine.kv.ledger import Ledger, text


def main(folder: Path, first: int) -> None:
    ledger = Ledger(n_cells=128, folder=folder)
    for number in count(first):
        running = ledger.open(text(1000 * number, 20), f"conversation-{number}")
        ledger.compute(running)
        ledger.kv.idle_work()
        ledger.close(running)
        ledger.settle()
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
