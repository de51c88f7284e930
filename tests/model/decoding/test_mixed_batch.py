"""Greedy, sampled and beam decodes that enter and leave one batch at random get what each gets alone.

Alone means: no batch, no cache, all of the target computed anew at every step.
"""

from random import Random

import pytest

from model.decoding.oracle import decode_alone
from model.search.results import Hypothesis
from tests.support.mixed_batch import RULES, random_spec, run_batch
from tests.support.pairs import Pair, prompts_of, random_sources

NUM_DECODES = 45


@pytest.mark.parametrize("rules", sorted(RULES))
def test_mixed_batch_gives_each_decode_what_it_gets_alone(lively: Pair, rules: str) -> None:
    random = Random(rules)
    pair = lively.ruled(**RULES[rules])
    (prompt,) = prompts_of(pair, 1)
    specs = [random_spec(source, prompt, random) for source in random_sources(pair, NUM_DECODES, seed=9)]
    outcome = run_batch(pair, specs, random)
    early = 0
    for index, spec in enumerate(specs):
        streamed, hypotheses = outcome[index]
        steps, alone = decode_alone(pair.ours, pair.checkpoint, spec)
        assert_same(hypotheses, alone)
        # what was sent is never taken back: joined, it is the best hypothesis
        assert tuple(token.token_id for token in streamed) == hypotheses[0].token_ids
        assert tuple(token.logprob for token in streamed) == hypotheses[0].logprobs
        assert [token.token_id for tokens in steps for token in tokens] == list(hypotheses[0].token_ids)
        assert all(len(token.details.top_tokens) == spec.num_top_tokens for token in streamed)
        early += spec.beam_size > 1 and any(steps[:-1])
    assert early > 5
    assert {hypotheses[0].finish_reason for _, hypotheses in outcome.values()} >= {"stop", "length"}


def assert_same(hypotheses: tuple[Hypothesis, ...], alone: tuple[Hypothesis, ...]) -> None:
    for ours, theirs in zip(hypotheses, alone, strict=True):
        assert ours.token_ids == theirs.token_ids
        assert ours.finish_reason == theirs.finish_reason
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-4)
        assert ours.score == pytest.approx(theirs.score, rel=1e-4, abs=1e-4)
