"""Greedy, sampled and beam sequences that join and leave one batch at random get what each gets alone.

Alone means: no batch, no cache, all of the target computed anew at every step.
"""

from random import Random

import pytest

from model.decoding.generate import RunningBatch
from model.decoding.oracle import translate_request
from model.search.types import Hypothesis, Sampling, SearchRequest, Token
from tests.support.pairs import Pair, prompts_of, random_sources

MAX_NEW = 22
NUM_SEQUENCES = 45
RULES = {
    "none": {},
    "all": {
        "repetition_penalty": 1.15,
        "no_repeat_ngram_size": 3,
        "bad_words_ids": ((7,), (20, 21)),
        "min_length": 5,
        "forced_eos_token_id": 5,
        "suppress_tokens": (30,),
        "begin_suppress_tokens": (31, 32),
        "renormalize_logits": True,
    },
}


def random_request(sequence_id: int, prompt: list[int], random: Random) -> SearchRequest:
    prefix = random.choices(range(10, 100), k=random.choice([0, 0, 1, 4]))
    beam_size = random.choice([1, 1, 2, 3, 4, 6])
    sampling = None
    if beam_size == 1 and random.random() < 0.6:
        top_k, top_p = random.choice([(0, 1.0), (5, 1.0), (0, 0.8), (20, 0.95)])
        sampling = Sampling(random.randrange(-(2**40), 2**65), random.choice([0.6, 1.0, 1.5]), top_k, top_p)
    return SearchRequest(
        sequence_id,
        (*prompt, *prefix),
        random.randint(1, MAX_NEW),
        beam_size=beam_size,
        num_hypotheses=random.randint(1, beam_size),
        length_penalty=random.choice([None, 0.0, 0.7, 2.0, -0.5]),
        early_stopping=random.choice([None, True, False, "never"]),
        sampling=sampling,
        repetition_guard=random.random() < 0.5,
        num_top_tokens=random.choice([0, 0, 0, 1, 5]),
    )


Outcome = dict[int, tuple[list[Token], tuple[Hypothesis, ...]]]


def run_batch(pair: Pair, requests: list[SearchRequest], sources: list[list[int]], random: Random) -> Outcome:
    """Sequences join at random steps, and some that nobody compares are cancelled."""
    batch = RunningBatch(pair.ours, pair.checkpoint, max_rows=23, max_source_tokens=32, max_target_tokens=MAX_NEW + 8)
    waiting = list(zip(requests, sources, strict=True))
    streamed: dict[int, list[Token]] = {request.sequence_id: [] for request in requests}
    outcome: Outcome = {}
    visitors: list[int] = []
    while waiting or batch.num_rows:
        joining = []
        free = batch.num_free_rows
        while waiting and waiting[0][0].beam_size <= free and (random.random() < 0.7 or not batch.num_rows):
            joining.append(waiting.pop(0))
            free -= joining[-1][0].beam_size
        if free >= 4 and random.random() < 0.2:
            visitors.append(-1 - len(visitors))
            visitor = SearchRequest(visitors[-1], requests[0].decoder_prompt, MAX_NEW, beam_size=4)
            joining.append((visitor, sources[0]))
        if joining:
            batch.join([request for request, _ in joining], [source for _, source in joining])
        for progress in batch.step():
            streamed.setdefault(progress.sequence_id, []).extend(progress.tokens)
            if progress.hypotheses:
                outcome[progress.sequence_id] = (streamed[progress.sequence_id], progress.hypotheses)
        if random.random() < 0.2:
            batch.leave(visitors)
    return outcome


@pytest.mark.parametrize("rules", sorted(RULES))
def test_mixed_batch_gives_each_sequence_what_it_gets_alone(lively: Pair, rules: str) -> None:
    random = Random(rules)
    pair = lively.ruled(**RULES[rules])
    (prompt,) = prompts_of(pair, 1)
    sources = random_sources(pair, NUM_SEQUENCES, seed=9)
    requests = [random_request(index, prompt, random) for index in range(NUM_SEQUENCES)]
    outcome = run_batch(pair, requests, sources, random)
    early = 0
    for request, source in zip(requests, sources, strict=True):
        streamed, hypotheses = outcome[request.sequence_id]
        steps, alone = translate_request(pair.ours, pair.checkpoint, source, request)
        assert_same(hypotheses, alone)
        # what was sent is never taken back: joined, it is the best hypothesis
        assert tuple(token.token_id for token in streamed) == hypotheses[0].token_ids
        assert tuple(token.logprob for token in streamed) == hypotheses[0].logprobs
        assert [token.token_id for tokens in steps for token in tokens] == list(hypotheses[0].token_ids)
        assert all(len(token.details.top_tokens) == request.num_top_tokens for token in streamed)
        early += request.beam_size > 1 and any(steps[:-1])
    assert early > 5
    assert {hypotheses[0].finish_reason for _, hypotheses in outcome.values()} >= {"stop", "length"}


def assert_same(hypotheses: tuple[Hypothesis, ...], alone: tuple[Hypothesis, ...]) -> None:
    for ours, theirs in zip(hypotheses, alone, strict=True):
        assert ours.token_ids == theirs.token_ids
        assert ours.finish_reason == theirs.finish_reason
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-4)
        assert ours.score == pytest.approx(theirs.score, rel=1e-4, abs=1e-4)
