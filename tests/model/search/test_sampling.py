"""Draws follow softmax, cut as `transformers` cuts it, and depend on seed, step and token only."""

import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from model.search.blockwise import first_argmax
from model.search.sampling import Draw, exponential, perturb, splitmix64, warp
from model.search.spec import MAX_TEMPERATURE, MIN_TEMPERATURE, Sampling

NUM_DRAWS = 20_000


def random_logits(num_rows: int, num_columns: int, *, seed: int = 0, scale: float = 2.0) -> torch.Tensor:
    return scale * torch.randn(num_rows, num_columns, generator=torch.Generator().manual_seed(seed))


def test_splitmix64_says_the_published_numbers() -> None:
    """The numbers are from https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64 for the seed 1234567."""
    bits = splitmix64(torch.tensor([1234567]), torch.arange(5))
    assert [value % 2**64 for value in bits.tolist()] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_exponential_noise_is_finite_and_positive_at_both_ends() -> None:
    noise = exponential(torch.tensor([0, -1, 2**63 - 1, -(2**63)]))
    assert noise.isfinite().all()
    assert (noise > 0).all()


def chi_square(counts: torch.Tensor, probabilities: torch.Tensor) -> float:
    expected = probabilities * counts.sum()
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.mark.parametrize(("vary", "seed"), [("step", 1), ("step", -(2**63)), ("seed", 0), ("seed", 10**9)])
def test_draws_follow_the_softmax(vary: str, seed: int) -> None:
    logits = random_logits(1, 12, scale=1.0)
    draws = [
        Draw(Sampling(seed + index if vary == "seed" else seed), step=index if vary == "step" else 3)
        for index in range(NUM_DRAWS)
    ]
    token_ids = first_argmax(perturb(logits.expand(NUM_DRAWS, -1), draws))
    # 31.3 is exceeded once in a thousand, with 11 degrees of freedom
    assert chi_square(token_ids.bincount(minlength=12), logits.softmax(dim=-1)[0]) < 31.3


@pytest.mark.parametrize("vary", ["step", "seed"])
def test_draws_one_after_the_other_are_independent(vary: str) -> None:
    logits = random_logits(1, 4, scale=1.0)
    draws = [
        Draw(Sampling(index if vary == "seed" else 7), step=index if vary == "step" else 0)
        for index in range(NUM_DRAWS)
    ]
    token_ids = first_argmax(perturb(logits.expand(NUM_DRAWS, -1), draws))
    pairs = (4 * token_ids[:-1:2] + token_ids[1::2]).bincount(minlength=16)
    probabilities = logits.softmax(dim=-1)[0]
    # 37.7 is exceeded once in a thousand, with 15 degrees of freedom
    assert chi_square(pairs, torch.outer(probabilities, probabilities).flatten()) < 37.7


def test_draws_from_a_cut_distribution_follow_what_is_left() -> None:
    logits = random_logits(1, 12, scale=1.0)
    sampling = [Sampling(5, temperature=0.7, top_k=6, top_p=0.9)]
    draws = [Draw(sampling[0], step=step) for step in range(NUM_DRAWS)]
    token_ids = first_argmax(perturb(logits.expand(NUM_DRAWS, -1), draws))
    left = warp(logits, sampling)[0].softmax(dim=-1)
    counts = token_ids.bincount(minlength=12)
    assert 2 <= (left > 0).sum() <= 6
    assert counts[left == 0].sum() == 0
    assert chi_square(counts[left > 0], left[left > 0]) < 20.6  # once in a thousand, with 5 degrees of freedom


@pytest.mark.parametrize("num_columns", [5, 100, 129, 1000])
@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [
        (0.5, 0, 1.0),
        (1.0, 3, 1.0),
        (1.0, 10_000, 1.0),
        (1.0, 0, 0.5),
        (1.0, 0, 0.999),
        (1.0, 0, 0.0),
        (1.7, 40, 0.9),
        (0.3, 4, 0.3),
    ],
)
def test_cuts_equal_those_of_transformers(num_columns: int, temperature: float, top_k: int, top_p: float) -> None:
    logits = random_logits(20, num_columns)
    expected = logits
    if temperature != 1:
        expected = TemperatureLogitsWarper(temperature)(None, expected)
    if top_k:
        expected = TopKLogitsWarper(top_k)(None, expected)
    if top_p < 1:
        expected = TopPLogitsWarper(top_p)(None, expected)
    assert torch.equal(warp(logits, [Sampling(0, temperature, top_k, top_p)] * 20), expected)


def test_each_row_is_drawn_as_it_is_alone() -> None:
    logits = random_logits(40, 700)
    generator = torch.Generator().manual_seed(1)
    draws = [
        Draw(
            Sampling(
                seed=index,
                temperature=(0.5, 1.0, 1.3)[index % 3],
                top_k=(0, 5, 50, 900)[index % 4],
                top_p=(1.0, 0.9, 0.4, 0.9999, 0.0)[index % 5],
            ),
            step=int(torch.randint(100, (1,), generator=generator)),
        )
        for index in range(40)
    ]
    together = first_argmax(perturb(logits, draws)).tolist()
    alone = [int(first_argmax(perturb(logits[[index]], [draw]))) for index, draw in enumerate(draws)]
    assert together == alone
    assert len(set(together)) > 20


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 2**63),
        ("seed", -(2**63) - 1),
        ("temperature", 0.0),
        ("temperature", 1e-44),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_k", -1),
        ("top_k", 2**31),
        ("top_p", 1.1),
        ("top_p", -0.1),
    ],
)
def test_sampling_out_of_bounds_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        Sampling(**{"seed": 0, name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [MIN_TEMPERATURE, MAX_TEMPERATURE])
@pytest.mark.parametrize("top_k", [1, 2**31 - 1])
@pytest.mark.parametrize("top_p", [0.0, 1e-44, 1.0])
def test_draws_at_the_bounds_of_the_options_are_tokens_that_the_cuts_leave(
    temperature: float, top_k: int, top_p: float
) -> None:
    logits = random_logits(20, 300, scale=30.0)
    samplings = [Sampling(-(2**63) + index, temperature, top_k, top_p) for index in range(20)]
    token_ids = first_argmax(perturb(logits, [Draw(sampling, 10**6) for sampling in samplings]))
    left = warp(logits, samplings).gather(1, token_ids[:, None])
    assert left.isfinite().all()
