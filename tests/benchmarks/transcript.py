"""How long a long conversation takes to open, and what a flush of tokens costs at the end of it.

By hand: ``QT_QPA_PLATFORM=offscreen python tests/benchmarks/transcript.py``. Times are of the window's thread alone
("cpu") or by the clock ("wall").
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtWidgets import QApplication

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ui.theme import theme
from ui.widgets.transcript import MessageStatus, MessageView, Transcript, preload

N_MESSAGES = 10_000
N_TOKENS = 4_000
CHARS_PER_TOKEN = 4
TOKENS_PER_FLUSH = 3
"""What 100 tokens a second make of a flush every 33 ms."""

TEXT = (
    "the model loads weights into memory then attention caches keys values for each layer quantization reduces size "
    "speed improves context window tokens stream output decode prompt batch sampling temperature private offline"
)
WORDS = TEXT.split()
FACTS = "61 tok/s  ·  first token 0.05 s  ·  1,204 of 1,230 tokens remembered"


class Writer:
    """Answers as models write them: paragraphs, listings, tables, lists, formulas."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def question(self) -> str:
        return self._words(self._random.randint(8, 40))

    def answer(self) -> str:
        return "\n\n".join(self.block() for _ in range(self._random.randint(1, 5)))

    def text(self, n_chars: int) -> str:
        text = ""
        while len(text) < n_chars:
            text += self.block() + "\n\n"
        return text[:n_chars]

    def block(self) -> str:
        kinds: Sequence[Callable[[], str]] = (self._paragraph, self._code, self._table, self._list, self._formula)
        return self._random.choices(kinds, [5, 2, 1, 2, 1])[0]()

    def _words(self, n: int) -> str:
        return " ".join(self._random.choice(WORDS) for _ in range(n))

    def _paragraph(self) -> str:
        words = self._words(self._random.randint(25, 60)).capitalize()
        return words.replace(" the ", " **the** ", 1).replace(" model ", " `model` ", 1) + "."

    def _code(self) -> str:
        lines = [
            f"    v{n} = sqrt(x * {self._random.randint(1, 999)}) + len('a')  # {self._words(3)}"
            for n in range(self._random.randint(6, 18))
        ]
        return "\n".join(["```python", "def f(x: int) -> float:", *lines, "    return v0", "```"])

    def _table(self) -> str:
        rows = [
            f"| {name} | {self._random.uniform(2, 9):.2f} | {self._words(2)} |" for name in ("Q2", "Q4", "Q5", "Q8")
        ]
        return "\n".join(["| Name | GiB | Note |", "|:--|--:|---|", *rows])

    def _list(self) -> str:
        return "\n".join(f"{n}. {self._words(self._random.randint(5, 15))}" for n in range(1, 5))

    def _formula(self) -> str:
        return self._random.choice([r"With $E = mc^2$ and $\alpha_i$.", "$$\n\\frac{e^{x_i}}{\\sum_j e^{x_j}}\n$$"])


def conversation() -> list[MessageView]:
    writer = Writer(seed=1)
    return [
        MessageView(n, True, writer.question()) if n % 2 == 0 else MessageView(n, False, writer.answer(), facts=FACTS)
        for n in range(N_MESSAGES)
    ]


def milliseconds(times_s: Sequence[float]) -> str:
    ordered = sorted(times_s)
    p50, p95 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)]
    return f"p50 {p50 * 1e3:.2f}  p95 {p95 * 1e3:.2f}  max {ordered[-1] * 1e3:.2f} ms  ({len(ordered)})"


def timed(action: Callable[[], object]) -> float:
    """CPU seconds of this thread for the action and for painting what came of it."""
    start_s = time.thread_time()
    action()
    QApplication.processEvents()
    return time.thread_time() - start_s


def scroll(transcript: Transcript, distance: int) -> None:
    bar = transcript.verticalScrollBar()
    bar.setValue(bar.value() + distance)


def stream(transcript: Transcript) -> list[float]:
    text = Writer(seed=7).text(N_TOKENS * CHARS_PER_TOKEN)
    answer_id, step = N_MESSAGES + 1, TOKENS_PER_FLUSH * CHARS_PER_TOKEN
    transcript.append_message(MessageView(N_MESSAGES, True, "Go on."))
    transcript.append_message(MessageView(answer_id, False, "", MessageStatus.STREAMING))

    def flush(start: int) -> Callable[[], None]:
        return lambda: transcript.append_text(answer_id, text[start : start + step])

    return [timed(flush(start)) for start in range(0, len(text), step)]


def main() -> None:
    app = QApplication([])
    theme.install()
    preload()
    views = conversation()
    transcript = Transcript()
    transcript.resize(952, 820)
    transcript.show()
    app.processEvents()
    start_s = time.perf_counter()
    transcript.set_messages(views)
    app.processEvents()
    say(f"open {N_MESSAGES:,} messages (wall)   {time.perf_counter() - start_s:.3f} s")
    say("scroll by 600 px (cpu)        ", milliseconds([timed(lambda: scroll(transcript, -600)) for _ in range(200)]))
    scroll(transcript, transcript.verticalScrollBar().maximum())
    flushes = stream(transcript)
    say("flush, all (cpu)              ", milliseconds(flushes))
    say("flush, last fifth (cpu)       ", milliseconds(flushes[-len(flushes) // 5 :]))
    resizes = [timed(lambda: transcript.resize(700 + 3 * n, 820)) for n in range(30)]  # noqa: B023 - called at once
    say("resize (cpu)                  ", milliseconds(resizes))


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")


if __name__ == "__main__":
    main()
