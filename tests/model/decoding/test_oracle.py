"""The plain oracle ends for the reasons it gives, and agrees with `generate` on a forced end."""

import pytest
import torch

from model.decoding.oracle import decode_alone
from model.search.results import Hypothesis
from tests.support.pairs import Pair, greedy_ours, greedy_theirs, make_spec, prompts_of, random_sources


def translated(pair: Pair, sources: list[list[int]], max_new: int) -> list[Hypothesis]:
    prompt = prompts_of(pair, 1)[0]
    specs = [make_spec(source, prompt, max_new, repetition_guard=False) for source in sources]
    return [decode_alone(pair.ours, pair.checkpoint, spec)[1][0] for spec in specs]


def test_reference_equals_generate_and_the_cached_batch(pair: Pair) -> None:
    sources = random_sources(pair, 24, seed=11)
    prompts = prompts_of(pair, len(sources))
    results = [list(result.token_ids) for result in translated(pair, sources, 40)]
    assert results == greedy_theirs(pair, sources, prompts, 40)
    assert results == greedy_ours(pair, sources, prompts, 40)


@pytest.mark.parametrize("max_new", [1, 2, 7])
def test_forced_end_at_the_last_place_equals_generate_with_that_max_length(marian: Pair, max_new: int) -> None:
    sources = random_sources(marian, 24, seed=12)
    prompts = prompts_of(marian, len(sources))
    theirs = greedy_theirs(marian, sources, prompts, max_new)
    assert marian.checkpoint.generation.forced_eos_token_id == marian.checkpoint.config.eos_token_id
    assert all(output[-1] == marian.checkpoint.config.eos_token_id for output in theirs)
    assert greedy_ours(marian, sources, prompts, max_new) == theirs
    assert [list(result.token_ids) for result in translated(marian, sources, max_new)] == theirs


def test_forced_end_counts_as_ending_for_length(marian: Pair) -> None:
    results = translated(marian, random_sources(marian, 12, seed=13), 2)
    assert {result.finish_reason for result in results if len(result.token_ids) == 2} == {"length"}


def test_finish_reason_is_stop_exactly_when_the_end_token_was_chosen(m2m100: Pair) -> None:
    eos = m2m100.checkpoint.config.eos_token_id
    results = translated(m2m100, random_sources(m2m100, 24, seed=14), 24)
    assert {result.finish_reason for result in results} == {"stop", "length"}
    for result in results:
        assert (result.finish_reason == "stop") == (result.token_ids[-1] == eos)
        assert eos not in result.token_ids[:-1]


def test_logprobs_are_those_of_the_full_forward(pair: Pair) -> None:
    source = random_sources(pair, 1, seed=15)[0]
    prompt = prompts_of(pair, 1)[0]
    (result,) = translated(pair, [source], 12)
    decoder_input_ids = torch.tensor([[*prompt, *result.token_ids[:-1]]])
    with torch.inference_mode():
        logits = pair.ours(torch.tensor([source]), torch.tensor([len(source)]), decoder_input_ids)
    chosen = logits[0, len(prompt) - 1 :].log_softmax(dim=-1).gather(1, torch.tensor(result.token_ids)[:, None])
    torch.testing.assert_close(torch.tensor(result.logprobs), chosen[:, 0], rtol=0, atol=1e-4)


def test_greedy_tokens_do_not_depend_on_the_order_or_number_of_neighbours(pair: Pair) -> None:
    sources = random_sources(pair, 16, seed=16)
    prompts = prompts_of(pair, len(sources))
    alone = [greedy_ours(pair, [source], prompts[:1], 30)[0] for source in sources]
    for max_rows in (3, 7, 16):
        assert greedy_ours(pair, sources, prompts, 30, max_rows=max_rows) == alone
    assert greedy_ours(pair, sources[::-1], prompts, 30, max_rows=5) == alone[::-1]
