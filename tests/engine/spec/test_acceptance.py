"""What is said with drafts has the target's distribution: llama.cpp's own samplers on scripted logits, chi-square."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.backend.bindings import lib
from engine.backend.sampling import Candidates, Sampler
from engine.spec.acceptance import accept
from engine.types import SamplingParams, TokenId
from tests.doubles.gguf import make_tiny_gguf, tiny_vocabulary

N_RUNS = 3_000
N_SAID = 3
N_LETTERS = 5
CRITICAL = 5.0
"""Standard deviations of chi-square above its mean. Seeds are fixed: it passes always, or never."""

SETTINGS = {
    "greedy": SamplingParams(temperature=0.0),
    "temperature": SamplingParams(temperature=1.3, top_k=0, top_p=1.0, min_p=0.0),
    "top-k": SamplingParams(temperature=1.0, top_k=3, top_p=1.0, min_p=0.0),
    "top-p": SamplingParams(temperature=1.0, top_k=0, top_p=0.7, min_p=0.0),
    "min-p": SamplingParams(temperature=1.0, top_k=0, top_p=1.0, min_p=0.3),
    "penalties": SamplingParams(
        temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, repeat_penalty=1.6, frequency_penalty=0.4, presence_penalty=0.3
    ),
    "logit bias": SamplingParams(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, logit_bias=((98, 1.5), (99, -100.0))),
    "grammar": SamplingParams(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, grammar="root ::= [a-c] [b-d] [a-e]"),
    "mirostat": SamplingParams(temperature=1.0, mirostat=2, mirostat_tau=1.5),
    "all": SamplingParams(temperature=0.8, top_k=4, top_p=0.9, min_p=0.05, repeat_penalty=1.2),
}


@dataclass(frozen=True)
class Drawn:
    token: TokenId


@dataclass
class Model:
    """Scripted logits: they depend on the last two tokens said."""

    seed: int
    first_letter: int
    n_vocab: int
    blur: float = 0.0

    def row(self, said: Sequence[int]) -> Any:
        script = np.random.default_rng([7, *said[-2:]])
        letters = script.normal(0.0, 1.2, N_LETTERS)
        letters += self.blur * np.random.default_rng([self.seed, *said[-2:]]).normal(0.0, 1.0, N_LETTERS)
        row = np.full(self.n_vocab, -30.0, dtype=np.float32)
        row[self.first_letter : self.first_letter + N_LETTERS] = letters
        return row


@pytest.fixture(scope="module")
def vocab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path = make_tiny_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf")
    lib.llama_backend_init()
    model = lib.llama_model_load_from_file(bytes(path), lib.llama_model_default_params())
    yield lib.llama_model_get_vocab(model)
    lib.llama_model_free(model)


def draw(sampler: Sampler, candidates: Candidates, row: Any) -> TokenId:
    """As ``Sampler`` draws, also where it would take the logits from a context, which there is none of here."""
    if not sampler.is_whole:
        return sampler.draw(None, 0, row)
    lib.llama_sampler_apply(sampler.chain, candidates.fill(row, np.arange(len(row))))
    token = candidates.selected
    lib.llama_sampler_accept(sampler.chain, token)
    return TokenId(token)


def say_plainly(sampler: Sampler, candidates: Candidates, target: Model) -> tuple[int, ...]:
    said: list[int] = []
    while len(said) < N_SAID:
        said.append(draw(sampler, candidates, target.row(said)))
    return tuple(said)


def say_with_drafts(
    sampler: Sampler, candidates: Candidates, target: Model, guess: Callable[[Sampler, list[int]], list[TokenId]]
) -> tuple[int, ...]:
    said: list[int] = []
    while len(said) < N_SAID:
        drafted = guess(sampler, said)[: N_SAID - len(said) - 1]

        def drawn(number: int, said: list[int] = said, drafted: list[TokenId] = drafted) -> Drawn:
            return Drawn(draw(sampler, candidates, target.row([*said, *drafted[:number]])))

        said += [item.token for item in accept(drafted, drawn, lambda _: True)]
    return tuple(said)


def chi_square(one: Counter[tuple[int, ...]], other: Counter[tuple[int, ...]]) -> float:
    """How far two samples of the same size are apart, in standard deviations above what chance does."""
    rare = [key for key in one | other if one[key] + other[key] < 10]
    pairs = [(one[key], other[key]) for key in one | other if key not in set(rare)]
    pairs.append((sum(one[key] for key in rare), sum(other[key] for key in rare)))
    square = sum((mine - yours) ** 2 / (mine + yours) for mine, yours in pairs if mine + yours)
    n_free = max(1, len(pairs) - 1)
    return float((square - n_free) / np.sqrt(2 * n_free))


@pytest.mark.parametrize("drafts", ["coupled", "careless"])
@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_said_with_drafts_has_the_targets_distribution(vocab: Any, name: str, drafts: str) -> None:
    n_vocab = lib.llama_vocab_n_tokens(vocab)
    letter = tiny_vocabulary("gpt2")[0].index("a")
    target, draft = Model(1, letter, n_vocab), Model(2, letter, n_vocab, blur=0.8)
    candidates, random = Candidates(), np.random.default_rng(11)
    bias = tuple((letter + number - 97, value) for number, value in SETTINGS[name].logit_bias)

    def open_sampler(seed: int) -> Sampler:
        settings = {field: getattr(SETTINGS[name], field) for field in SETTINGS[name].__struct_fields__}
        return Sampler(SamplingParams(**{**settings, "seed": seed, "logit_bias": bias}), vocab, n_vocab, [], candidates)

    def coupled(sampler: Sampler, said: list[int]) -> list[TokenId]:
        twin, guessed = sampler.copy(candidates), list[TokenId]()
        for _ in range(N_SAID - len(said) - 1):
            guessed.append(draw(twin, candidates, draft.row([*said, *guessed])))
        twin.close()
        return guessed

    def careless(_sampler: Sampler, _said: list[int]) -> list[TokenId]:
        return [TokenId(letter + int(random.integers(N_LETTERS))) for _ in range(2)]

    plain: Counter[tuple[int, ...]] = Counter()
    drafted: Counter[tuple[int, ...]] = Counter()
    for run in range(N_RUNS):
        sampler = open_sampler(run)
        plain[say_plainly(sampler, candidates, target)] += 1
        sampler.close()
        sampler = open_sampler(N_RUNS + run)
        drafted[say_with_drafts(sampler, candidates, target, coupled if drafts == "coupled" else careless)] += 1
        sampler.close()

    assert chi_square(plain, drafted) < CRITICAL


@pytest.mark.parametrize("name", SETTINGS)
def test_the_same_seed_says_the_same_with_drafts_and_a_draft_that_agrees_always_holds(vocab: Any, name: str) -> None:
    n_vocab = lib.llama_vocab_n_tokens(vocab)
    letter = tiny_vocabulary("gpt2")[0].index("a")
    target, candidates = Model(1, letter, n_vocab), Candidates()
    settings = {field: getattr(SETTINGS[name], field) for field in SETTINGS[name].__struct_fields__}
    held: list[bool] = []

    for seed in range(200):
        params = SamplingParams(**{**settings, "seed": seed, "logit_bias": ()})
        sampler = Sampler(params, vocab, n_vocab, [], candidates)
        plain = say_plainly(sampler, candidates, target)
        sampler.close()
        sampler = Sampler(params, vocab, n_vocab, [], candidates)

        def agreeing(sampler: Sampler, said: list[int], plain: tuple[int, ...] = plain) -> list[TokenId]:
            twin, guessed = sampler.copy(candidates), list[TokenId]()
            for _ in range(N_SAID - len(said) - 1):
                guessed.append(draw(twin, candidates, target.row([*said, *guessed])))
            twin.close()
            held.append(tuple(guessed) == plain[len(said) : len(said) + len(guessed)])
            return guessed

        assert say_with_drafts(sampler, candidates, target, agreeing) == plain
        sampler.close()

    assert all(held)


def test_the_test_of_distributions_finds_a_wrong_rule() -> None:
    random = np.random.default_rng(3)
    fair = Counter((int(token),) for token in random.choice(3, N_RUNS, p=[0.5, 0.3, 0.2]))
    skewed = Counter((int(token),) for token in random.choice(3, N_RUNS, p=[0.6, 0.25, 0.15]))

    assert chi_square(fair, skewed) > CRITICAL


@given(st.lists(st.integers(0, 3), max_size=8), st.lists(st.integers(0, 3), min_size=9, max_size=9))
def test_a_run_is_what_the_target_drew_up_to_its_first_own_token(drafted: list[int], wanted: list[int]) -> None:
    asked: list[int] = []

    def drawn(number: int) -> Drawn:
        asked.append(number)
        return Drawn(TokenId(wanted[number]))

    run = [item.token for item in accept([TokenId(token) for token in drafted], drawn, lambda _: True)]

    assert asked == list(range(len(run)))
    assert run == wanted[: len(run)]
    assert run[:-1] == drafted[: len(run) - 1]
    assert len(run) == len(drafted) + 1 or run[-1] != drafted[len(run) - 1]


def test_nothing_follows_the_end_of_a_turn() -> None:
    end = TokenId(0)
    run = accept(
        [TokenId(5), end, TokenId(6)], lambda number: Drawn([TokenId(5), end][number]), lambda d: d.token != end
    )

    assert [item.token for item in run] == [5, end]
