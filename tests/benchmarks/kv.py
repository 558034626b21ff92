"""What remembering saves: Hearth against llama-server, through HTTP, on the same file with the same kernels.

    HEARTH_PEERS=folder python -m tests.benchmarks.kv MODEL.gguf

- back: 20 conversations of about 1,000 tokens, cells for 4; each is gone back to once. First token against a cold read.
- restart: the same after both processes were started anew.
- shared: 8 conversations with the same 2,000-token system prompt; first token of the 2nd to the 8th, and KV bytes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.benchmarks.http_chat import Messages, chat
from tests.benchmarks.peers import peer_tools
from tests.benchmarks.servers import hearth, llama_server
from tests.benchmarks.texts import words

N_CELLS = 4608
N_CONVERSATIONS = 20
N_WORDS = 930
SETTLE_S = 3.0
"""Time for what is written behind, as between a person's questions."""

Server = Callable[[], AbstractContextManager[int]]


class Conversation:
    """A long first question and its answer, and the next question."""

    def __init__(self, seed: int) -> None:
        self.messages: list[dict[str, str]] = [{"role": "user", "content": words(N_WORDS, seed)}]

    def ask(self, port: int) -> float:
        """Seconds to the first token; the answer becomes part of the conversation."""
        reply = chat(port, self.messages, 16)
        self.messages += [{"role": "assistant", "content": reply.text}, {"role": "user", "content": "And then?"}]
        return reply.first_token_s


def back_and_restart(server: Server, rounds: int) -> tuple[float, float, float]:
    """Medians in seconds: cold, gone back to, and gone back to after a restart."""
    conversations = [Conversation(seed) for seed in range(N_CONVERSATIONS)]
    with server() as port:
        chat(port, [{"role": "user", "content": "Hello"}], 4)
        cold = [conversation.ask(port) for conversation in conversations]
        time.sleep(SETTLE_S)
        back = [conversation.ask(port) for conversation in conversations[:rounds]]
        time.sleep(SETTLE_S)
    with server() as port:
        chat(port, [{"role": "user", "content": "Hello"}], 4)
        again = [conversation.ask(port) for conversation in conversations[:rounds]]
    return statistics.median(cold), statistics.median(back), statistics.median(again)


def shared_prompt(server: Server, kv_bytes: Callable[[int], float]) -> tuple[float, float]:
    """8 conversations with the same system prompt: median seconds to the first token of the 2nd to the 8th, and the
    bytes kept of all of them against those of the prompt once and each one's own.

    What a token takes is what the first conversation took, divided by its tokens.
    """
    system = {"role": "system", "content": words(2000, 4711)}
    replies, first_bytes = [], 0.0
    with server() as port:
        for number in range(8):
            messages: Messages = [system, {"role": "user", "content": words(12, number)}]
            replies.append(chat(port, messages, 8))
            if number == 0:
                time.sleep(SETTLE_S)
                first_bytes = kv_bytes(port)
        time.sleep(SETTLE_S)
        all_bytes = kv_bytes(port)
    n_tokens = [reply.n_prompt + reply.n_output for reply in replies]
    n_shared = replies[-1].n_cached
    n_own = sum(n_tokens) - len(replies) * n_shared
    needed_bytes = first_bytes / n_tokens[0] * (n_shared + n_own)
    seconds = statistics.median(reply.first_token_s for reply in replies[1:])
    return seconds, all_bytes / needed_bytes if needed_bytes else 0.0


def kept_bytes(port: int) -> float:
    """What Hearth keeps in RAM, by its own metrics: every page once it is saved, whether it is in cells too or not."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
        lines = response.read().decode().splitlines()
    return sum(
        float(line.rpartition(" ")[2]) for line in lines if line.startswith("hearth_kv_bytes") and '"ram"' in line
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    model = arguments.model.resolve()
    with tempfile.TemporaryDirectory() as home, peer_tools() as (folder, environment):

        def ours() -> AbstractContextManager[int]:
            return hearth(model, Path(home), N_CELLS, 4)

        def theirs() -> AbstractContextManager[int]:
            return llama_server(folder, environment, model, N_CELLS, 4)

        results = [back_and_restart(server, arguments.rounds) for server in (ours, theirs)]
        shared_s, kv_ratio = shared_prompt(ours, kept_bytes)
        their_shared_s, _ = shared_prompt(theirs, lambda port: 0.0)
    (cold, back, again), (their_cold, their_back, their_again) = results
    write = sys.stdout.write
    write(f"cold        hearth {cold:6.3f} s  llama-server {their_cold:6.3f} s\n")
    write(f"back        hearth {back:6.3f} s  llama-server {their_back:6.3f} s  of cold {back / cold:.3f}  ")
    write(f"ratio {back / their_back:.3f}\n")
    write(f"restarted   hearth {again:6.3f} s  llama-server {their_again:6.3f} s  of cold {again / cold:.3f}  ")
    write(f"ratio {again / their_again:.3f}\n")
    write(f"shared      hearth {shared_s:6.3f} s  llama-server {their_shared_s:6.3f} s  ")
    write(f"ratio {shared_s / their_shared_s:.3f}\n")
    write(f"            KV bytes of 8 conversations against the prompt once and each one's own: {kv_ratio:.2f}\n")


if __name__ == "__main__":
    main()
