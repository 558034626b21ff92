"""A chat request over HTTP, timed as a client sees it: standard library only, so that both servers cost the same."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Reply:
    """``first_token_s`` from the request to the first text; ``arrivals_s`` of every piece after the request."""

    text: str
    n_prompt: int
    n_cached: int
    n_output: int
    first_token_s: float
    total_s: float

    @property
    def tokens_per_s(self) -> float:
        """Of the tokens after the first."""
        return (self.n_output - 1) / (self.total_s - self.first_token_s)


def chat(port: int, messages: Messages, n_tokens: int, **options: object) -> Reply:
    """Ask for an answer of at most ``n_tokens``, greedy, and read its stream to the end."""
    body = {
        "model": "default",
        "messages": list(messages),
        "max_tokens": n_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        **options,
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    started_s = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        raise RuntimeError(f"HTTP {response.status}: {response.read().decode(errors='replace')}")
    texts: list[str] = []
    usage: dict[str, object] = {}
    first_s = last_s = started_s
    for line in response:
        if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
            continue
        chunk = json.loads(line[6:])
        usage = chunk.get("usage") or usage
        text = "".join(choice.get("delta", {}).get("content") or "" for choice in chunk.get("choices", ()))
        if text:
            last_s = time.perf_counter()
            first_s = first_s if texts else last_s
            texts.append(text)
    connection.close()
    details = usage.get("prompt_tokens_details")
    n_cached = details.get("cached_tokens", 0) if isinstance(details, dict) else 0
    return Reply(
        "".join(texts),
        int(str(usage.get("prompt_tokens", 0))),
        int(n_cached),
        int(str(usage.get("completion_tokens", len(texts)))),
        first_s - started_s,
        last_s - started_s,
    )


def chat_together(port: int, conversations: Sequence[Messages], n_tokens: int) -> tuple[list[Reply], float]:
    """All at once, one thread each. Returns the replies and the seconds until the last one ended."""
    replies: list[Reply | None] = [None] * len(conversations)

    def ask(number: int) -> None:
        replies[number] = chat(port, conversations[number], n_tokens)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(conversations))]
    started_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total_s = time.perf_counter() - started_s
    done = [reply for reply in replies if reply is not None]
    if len(done) < len(conversations):
        raise RuntimeError("a request failed")
    return done, total_s
