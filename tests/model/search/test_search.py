"""A step gives each row its token, the model's own log-probability, and the most probable tokens if asked."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from model.checkpoint.config import Checkpoint, read_checkpoint
from model.search.results import NO_DETAILS, Hypothesis, Token
from model.search.search import Running, Search, SearchStep
from model.search.spec import DecodeSpec, Sampling
from tests.support.checkpoints import BUNDLED
from tests.support.pairs import CPU, make_spec

EOS = 2
NUM_TOKENS = 300


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """The rules of no checkpoint: those of the bundled one, which has none, over a small vocabulary."""
    bundled = read_checkpoint(BUNDLED, name="bundled")
    return replace(bundled, config=replace(bundled.config, vocab_size=NUM_TOKENS, decoder_vocab_size=NUM_TOKENS))


def random_logits(num_rows: int, *, seed: int = 0) -> torch.Tensor:
    logits = 2 * torch.randn(num_rows, NUM_TOKENS, generator=torch.Generator().manual_seed(seed))
    logits[:, EOS] = -20.0
    return logits


def spec_of(*, max_new_tokens: int = 10, **options: object) -> DecodeSpec:
    return make_spec([EOS], [EOS, 7], max_new_tokens, **options)


def start(search: Search, *specs: DecodeSpec) -> list[Running]:
    """The rows of these decodes, which have the ids 0, 1, and so on."""
    rows: list[Running] = []
    for decode_id, spec in enumerate(specs):
        slots = range(len(rows), len(rows) + spec.beam_size)
        rows += [search.start(decode_id, spec, slots)] * spec.beam_size
    return rows


def one_step(checkpoint: Checkpoint, logits: torch.Tensor, *specs: DecodeSpec) -> SearchStep:
    search = Search(checkpoint, max_rows=8, max_target_tokens=20, device=CPU)
    return search.step(start(search, *specs), logits.clone())


def with_rules(checkpoint: Checkpoint, **rules: object) -> Checkpoint:
    return replace(checkpoint, generation=replace(checkpoint.generation, **rules))  # type: ignore[arg-type]


def test_greedy_token_is_the_best_with_the_log_softmax_of_the_whole_row(checkpoint: Checkpoint) -> None:
    logits = random_logits(2)
    step = one_step(checkpoint, logits, spec_of(), spec_of())
    assert [progress.decode_id for progress in step.progress] == [0, 1]
    assert step.next_token_ids.tolist() == logits.argmax(dim=-1).tolist()
    tokens = [progress.tokens[0] for progress in step.progress]
    expected = logits.log_softmax(dim=-1).amax(dim=-1).tolist()
    assert [token.logprob for token in tokens] == pytest.approx(expected, abs=1e-5)
    assert step.copies == []


def test_forbidden_token_is_not_chosen_and_keeps_its_share_of_the_probability(checkpoint: Checkpoint) -> None:
    logits = random_logits(1)
    best, second = logits[0].topk(2).indices.tolist()
    step = one_step(with_rules(checkpoint, suppress_tokens=(best,)), logits, spec_of())
    (token,) = step.progress[0].tokens
    assert token.token_id == second
    assert token.logprob == pytest.approx(float(logits.log_softmax(dim=-1)[0, second]), abs=1e-5)


@pytest.mark.parametrize("beam_size", [1, 2])
def test_forced_end_has_the_models_logprob_and_counts_as_ending_for_length(
    checkpoint: Checkpoint, beam_size: int
) -> None:
    logits = random_logits(beam_size)
    rules = with_rules(checkpoint, forced_eos_token_id=EOS)
    step = one_step(rules, logits, spec_of(max_new_tokens=1, beam_size=beam_size))
    (hypothesis,) = step.progress[0].hypotheses
    assert hypothesis.token_ids == (EOS,)
    assert hypothesis.finish_reason == "length"
    assert hypothesis.logprobs[0] == pytest.approx(float(logits.log_softmax(dim=-1)[0, EOS]), abs=1e-5)


def test_last_place_is_free_without_a_forced_end(checkpoint: Checkpoint) -> None:
    logits = random_logits(1)
    logits[0, EOS] = 20.0
    (stopped,) = one_step(checkpoint, logits, spec_of(max_new_tokens=1)).progress
    assert stopped.hypotheses[0].finish_reason == "stop"
    logits[0, EOS] = -20.0
    (cut,) = one_step(checkpoint, logits, spec_of(max_new_tokens=1)).progress
    assert cut.hypotheses[0].finish_reason == "length"


@pytest.mark.parametrize("asks", [(3, 0, 5), (0, 0, 0), (NUM_TOKENS + 9, 1, 0)])
def test_top_tokens_are_the_softmax_of_the_model_for_rows_that_ask(checkpoint: Checkpoint, asks: tuple[int]) -> None:
    logits = random_logits(3)
    rules = with_rules(checkpoint, suppress_tokens=tuple(range(100)), repetition_penalty=2.0)
    step = one_step(rules, logits, *(spec_of(num_top_tokens=count) for count in asks))
    for row, (progress, count) in enumerate(zip(step.progress, asks, strict=True)):
        top = progress.tokens[0].details.top_tokens
        expected = logits[row].softmax(dim=-1).topk(min(count, NUM_TOKENS))
        assert [token_id for token_id, _ in top] == expected.indices.tolist()
        assert [probability for _, probability in top] == pytest.approx(expected.values.tolist(), abs=1e-6)


def test_score_of_a_row_is_its_logprob_under_the_length_penalty(checkpoint: Checkpoint) -> None:
    logits = random_logits(2)
    specs = [spec_of(max_new_tokens=1, length_penalty=2.0, num_uncounted_tokens=index) for index in (0, 1)]
    for index, progress in enumerate(one_step(checkpoint, logits, *specs).progress):
        (hypothesis,) = progress.hypotheses
        assert hypothesis.score == pytest.approx(hypothesis.logprobs[0] / (3 - index) ** 2)


def test_sampled_rows_leave_the_others_alone(checkpoint: Checkpoint) -> None:
    logits = random_logits(6)
    specs = [spec_of(), spec_of(sampling=Sampling(3, temperature=3.0)), spec_of(beam_size=3), spec_of()]
    step = one_step(checkpoint, logits, *specs)
    for slot, index in ((0, 0), (5, 3)):
        assert step.progress[index].tokens[0].token_id == logits[slot].argmax()
    drawn = step.progress[1].tokens[0]
    assert drawn.logprob == pytest.approx(float(logits[1].log_softmax(dim=-1)[drawn.token_id]), abs=1e-5)
    # the beams start from one: the three best tokens of its row
    assert sorted(step.next_token_ids[2:5].tolist()) == sorted(logits[2].topk(3).indices.tolist())


def test_moved_rows_take_their_decodes_along(checkpoint: Checkpoint) -> None:
    search = Search(with_rules(checkpoint, no_repeat_ngram_size=1), max_rows=8, max_target_tokens=20, device=CPU)
    rows = start(search, spec_of(), spec_of(beam_size=2), spec_of())
    logits = random_logits(4)
    first = search.step(rows, logits.clone())
    rows[3].move(3, 0)  # decode 0 left
    search.move([3], [0])
    second = search.step([rows[3], *rows[1:3]], logits[[3, 1, 2]].clone())
    assert [progress.decode_id for progress in second.progress] == [2, 1]
    said = [first.progress[2].tokens[0].token_id, second.progress[0].tokens[0].token_id]
    assert said == [token for token in logits[3].topk(4).indices.tolist() if token not in (EOS, 7)][:2]


def test_prompt_without_room_for_a_token_is_refused(checkpoint: Checkpoint) -> None:
    search = Search(with_rules(checkpoint, max_length=2), max_rows=1, max_target_tokens=2, device=CPU)
    with pytest.raises(ValueError, match="decoder_prompt has 2 tokens, max_length is 2"):
        search.start(0, spec_of(), [0])


def test_target_that_may_get_too_long_is_refused(checkpoint: Checkpoint) -> None:
    search = Search(checkpoint, max_rows=1, max_target_tokens=11, device=CPU)
    with pytest.raises(ValueError, match="the target may have 12 tokens; the limit is 11"):
        search.start(0, spec_of(), [0])
    search.start(0, spec_of(max_new_tokens=9), [0])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("max_new_tokens", {"max_new_tokens": 0}),
        ("beam_size", {"beam_size": 0}),
        ("num_hypotheses", {"beam_size": 2, "num_hypotheses": 3}),
        ("length_penalty", {"length_penalty": float("nan")}),
        ("beam_size", {"beam_size": 2, "sampling": Sampling(0)}),
        ("num_top_tokens", {"num_top_tokens": -1}),
        ("num_uncounted_tokens", {"num_uncounted_tokens": 3}),
    ],
)
def test_spec_that_makes_no_sense_is_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=name):
        spec_of(**options)


def test_results_are_plain_data() -> None:
    assert Token(3, -0.5) == (3, -0.5, NO_DETAILS)
    assert Hypothesis((3, 2), (-0.5, -0.1), -0.3, "stop").finish_reason == "stop"


def beams_after_steps(checkpoint: Checkpoint, *neighbours: DecodeSpec) -> tuple[Hypothesis, ...]:
    """Four beams in slots 0..3 over six steps, with new `neighbours` of one step behind them at each."""
    search = Search(checkpoint, max_rows=5, max_target_tokens=20, device=CPU)
    beams = start(search, spec_of(max_new_tokens=6, beam_size=4, num_hypotheses=4))
    for seed in range(6):
        rows = [*beams, *(search.start(1, neighbour, [4]) for neighbour in neighbours)]
        step = search.step(rows, random_logits(5, seed=seed)[: 4 + len(neighbours)])
    return step.progress[0].hypotheses


def test_beam_scores_are_the_same_to_the_bit_beside_a_row_that_is_forced_to_end(checkpoint: Checkpoint) -> None:
    rules = with_rules(checkpoint, forced_eos_token_id=EOS)
    assert beams_after_steps(rules, spec_of(max_new_tokens=1)) == beams_after_steps(rules)
