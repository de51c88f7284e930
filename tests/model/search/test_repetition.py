"""A loop ends a row, or a beam, as a stopping criterion of `transformers` would end it."""

import pytest
import torch
from transformers import StoppingCriteria

from model.checkpoint.generation_config import GenerationConfig
from model.decoding.generate import generate
from model.search.goal import Goal
from model.search.repetition import is_looping, longest_loop
from model.search.spec import DecodeSpec
from tests.support.pairs import Pair, assert_equal_outputs, make_spec, prompts_of, random_sources, their_outputs

MAX_LENGTH = 60


@pytest.mark.parametrize(
    ("token_ids", "expected"),
    [
        ([5] * 15, False),
        ([5] * 16, True),
        ([1, 2] * 8, True),
        ([1, 2] * 8 + [1], True),
        ([1, 2] * 8 + [3], False),
        ([9, *[1, 2, 3, 4, 5] * 4], True),
        ([1, 2, 3, 4, 5] * 3 + [1, 2, 3, 4], False),
        (list(range(8)) * 4, True),
        (list(range(9)) * 4, False),
    ],
)
def test_loop_is_an_ngram_four_times_and_over_sixteen_tokens(token_ids: list[int], expected: bool) -> None:
    assert is_looping(token_ids) is expected


def counting(*parts: int, count: int) -> list[int]:
    """`parts` again and again, a 0 among them being a number that counts."""
    return [part or 100 + number for number in range(count) for part in parts]


@pytest.mark.parametrize(
    ("token_ids", "expected"),
    [
        ([*counting(7, 8, 0, count=10), 7], False),
        ([*counting(7, 8, 0, count=10), 7, 8], True),
        ([*counting(7, 0, count=15), 7], False),
        ([*counting(7, 0, count=16), 7], True),
        (counting(1, 2, 3, 4, 5, 0, 6, 7, count=5), False),
        (counting(1, 2, 3, 4, 5, 0, 6, 7, count=6), True),
        (counting(0, count=60), False),
        ([*counting(7, 0, 0, count=20), 7], False),
    ],
)
def test_loop_may_vary_in_one_token_where_it_is_longer(token_ids: list[int], expected: bool) -> None:
    assert is_looping(token_ids) is expected


@pytest.mark.parametrize(
    ("token_ids", "expected"),
    [
        ([], 0),
        (list(range(40)), 0),
        ([5, 5], 0),
        ([9, *[5] * 7, 9], 7),
        ([*range(20), *[1, 2, 3] * 4, *range(20)], 12),
        ([9, 9, *counting(7, 8, 0, count=5)], 15),
    ],
)
def test_longest_loop_is_found_wherever_it_is(token_ids: list[int], expected: int) -> None:
    # A token before or after a stretch may pass for the one that varies.
    assert expected <= longest_loop(token_ids) <= expected + 2 * (expected > 0)


@pytest.mark.parametrize("unit", [[5], [5, 6], [5, 6, 7, 8, 9]])
def test_what_the_source_repeats_may_be_repeated_up_to_twice_as_long(unit: list[int]) -> None:
    source = (3, *unit * (40 // len(unit)), 2)
    goal = Goal(DecodeSpec("test", source, (1,), 500), GenerationConfig(1000), eos_token_id=2)
    target = unit * (60 // len(unit))
    assert goal.finish_reason(target) is None
    assert goal.finish_reason(target * 2) == "repetition"


class LoopCriteria(StoppingCriteria):  # type: ignore[misc]
    def __init__(self, prompt_length: int) -> None:
        self.prompt_length = prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: object, **options: object) -> torch.Tensor:
        del scores, options
        return torch.tensor([is_looping(ids[self.prompt_length :]) for ids in input_ids.tolist()])


@pytest.mark.parametrize("beam_size", [1, 4])
def test_loops_end_as_by_a_stopping_criterion_of_generate(lively: Pair, beam_size: int) -> None:
    sources = random_sources(lively, 10, seed=8)
    (prompt,) = prompts_of(lively, 1)
    theirs = their_outputs(
        lively,
        sources,
        prompt,
        num_beams=beam_size,
        num_return_sequences=beam_size,
        early_stopping=beam_size > 1,
        max_length=MAX_LENGTH,
        stopping_criteria=[LoopCriteria(len(prompt))],
    )
    specs = [
        make_spec(source, prompt, MAX_LENGTH, beam_size=beam_size, num_hypotheses=beam_size, early_stopping=True)
        for source in sources
    ]
    # both ends are the checkpoint's: its max_length counts the prompt
    ours = generate(lively.ours, lively.ruled(max_length=MAX_LENGTH).checkpoint, specs)
    for hypotheses, outputs in zip(ours, theirs, strict=True):
        assert_equal_outputs(hypotheses, outputs, beam_size)
    for hypothesis in (hypothesis for hypotheses in ours for hypothesis in hypotheses):
        is_loop = is_looping(list(hypothesis.token_ids))
        at_limit = len(prompt) + len(hypothesis.token_ids) == MAX_LENGTH
        assert (hypothesis.finish_reason == "repetition") == (is_loop and not at_limit)
    assert "repetition" in {hypothesis.finish_reason for hypotheses in ours for hypothesis in hypotheses}


def test_loops_go_on_where_the_guard_is_off(lively: Pair) -> None:
    sources = random_sources(lively, 10, seed=8)
    (prompt,) = prompts_of(lively, 1)
    specs = [
        make_spec(source, prompt, MAX_LENGTH, repetition_guard=guard) for source in sources for guard in (False, True)
    ]
    ours = generate(lively.ours, lively.checkpoint, specs)
    for (free,), (guarded,) in zip(ours[::2], ours[1::2], strict=True):
        assert free.token_ids[: len(guarded.token_ids)] == guarded.token_ids
        assert (free == guarded) == (guarded.finish_reason != "repetition")
    assert "repetition" in {hypotheses[0].finish_reason for hypotheses in ours[1::2]}
