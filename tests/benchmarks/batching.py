"""One stream and eight streams through HTTP, Hearth against llama-server on the same file with the same kernels.

    HEARTH_PEERS=folder python -m tests.benchmarks.batching MODEL.gguf

Prints medians of the rounds and ratios. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.http_chat import chat, chat_together
from tests.benchmarks.peers import peer_tools
from tests.benchmarks.servers import hearth, llama_server
from tests.benchmarks.texts import words

N_STREAMS = 8


def question(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"{words(20, number)}. Write a very long story about the sea."}]


def one_stream(port: int, n_tokens: int, number: int) -> float:
    return chat(port, question(number), n_tokens).tokens_per_s


def many_streams(port: int, n_tokens: int, number: int) -> float:
    """Tokens of all streams per second, prompts included in the time."""
    replies, total_s = chat_together(port, [question(number * N_STREAMS + n) for n in range(N_STREAMS)], n_tokens)
    return sum(reply.n_output for reply in replies) / total_s


def report(name: str, ours: list[float], theirs: list[float]) -> None:
    mine, other = statistics.median(ours), statistics.median(theirs)
    sys.stdout.write(f"{name:12} hearth {mine:7.1f}  llama-server {other:7.1f} tokens/s  ratio {mine / other:.3f}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128)
    arguments = parser.parse_args()
    model = arguments.model.resolve()
    results: dict[str, tuple[list[float], list[float]]] = {"1 stream": ([], []), "8 streams": ([], [])}
    with (
        tempfile.TemporaryDirectory() as home,
        peer_tools() as (folder, environment),
        hearth(model, Path(home), 8192, N_STREAMS) as our_port,
        llama_server(folder, environment, model, 8192, N_STREAMS) as their_port,
    ):
        for number in range(arguments.rounds):
            for side, port in enumerate((our_port, their_port)):
                results["1 stream"][side].append(one_stream(port, arguments.tokens, number))
                results["8 streams"][side].append(many_streams(port, arguments.tokens // 2, number + 100))
    for name, (ours, theirs) in results.items():
        report(name, ours, theirs)


if __name__ == "__main__":
    main()
