"""Running ahead changes no token: several at once are those of single steps, alone and in mixed batches."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
import torch

from model.decoding.batch import DecodingBatch
from model.kernels.stacks import GreedyRules
from model.search.blockwise import Choices
from model.search.results import Progress
from model.search.spec import DecodeSpec
from model.transformer.kv_cache import KVCache
from model.transformer.transformer import Transformer
from tests.support.checkpoints import BUNDLED
from tests.support.mixed_batch import MAX_NEW, Outcome, add, random_spec, run_batch
from tests.support.pairs import CPU, Pair, load_pair, make_spec, padded, prompts_of, random_sources

pytestmark = pytest.mark.needs("kernels")

RULES: dict[str, dict[str, Any]] = {
    "none": {},
    "as OPUS-MT": {"bad_words_ids": ((7,),), "forced_eos_token_id": 5, "renormalize_logits": True},
    "suppressed tokens": {"suppress_tokens": (30,), "begin_suppress_tokens": (31, 32)},
    "minimum length": {"min_length": 8},
}
FEW_ROWS = 6
"""Among many rows, one is at its last token in nearly every step, and then nothing runs ahead."""
NUM_OFTEN = 20


@pytest.fixture(scope="module")
def int8(m2m100: Pair) -> Pair:
    return m2m100.computing_in("int8")


def make_batch(pair: Pair) -> DecodingBatch:
    return DecodingBatch(pair.ours, pair.checkpoint, max_rows=8, max_source_tokens=32, max_target_tokens=40)


@pytest.fixture
def num_ahead(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of tokens of a row that were decoded at once, where these were several."""
    numbers: list[int] = []
    decode_ahead = Transformer.decode_ahead

    def spy(self: Transformer, *args: Any, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        decoded = decode_ahead(self, *args, **options)
        numbers.extend([len(decoded[0])] if len(decoded[0]) > 1 else [])
        return decoded

    monkeypatch.setattr(Transformer, "decode_ahead", spy)
    return numbers


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("max_tokens", [2, 5, 16])
def test_greedy_decodes_are_the_same_ahead(int8: Pair, rules: str, max_tokens: int, num_ahead: list[int]) -> None:
    pair = int8.ruled(**RULES[rules])
    (prompt,) = prompts_of(pair, 1)
    specs = [limited(source, prompt, index) for index, source in enumerate(random_sources(pair, 60, seed=4))]
    expected = run_batch(pair, specs, Random(1))
    assert not num_ahead
    assert run_batch(pair, specs, Random(2), max_tokens=max_tokens, max_rows=FEW_ROWS) == expected
    assert len(num_ahead) > NUM_OFTEN


def test_rules_that_look_back_never_run_ahead(int8: Pair, num_ahead: list[int]) -> None:
    pair = int8.ruled(repetition_penalty=1.2)
    (prompt,) = prompts_of(pair, 1)
    specs = [limited(source, prompt, index) for index, source in enumerate(random_sources(pair, 20, seed=4))]
    expected = run_batch(pair, specs, Random(1))
    assert run_batch(pair, specs, Random(2), max_tokens=5, max_rows=FEW_ROWS) == expected
    assert not num_ahead


def test_alignments_are_the_same_ahead(int8: Pair, num_ahead: list[int]) -> None:
    (prompt,) = prompts_of(int8, 1)
    specs = [
        limited(source, prompt, index, with_alignment=index % 3 == 0)
        for index, source in enumerate(random_sources(int8, 40, seed=10))
    ]
    single_steps = [replace(spec, num_top_tokens=1) for spec in specs]
    expected = alignments(run_batch(int8, single_steps, Random(1)))
    assert all(bool(weights) == (index % 3 == 0) for index, tokens in expected.items() for _, weights in tokens)
    assert not num_ahead
    assert alignments(run_batch(int8, specs, Random(2), max_tokens=5, max_rows=FEW_ROWS)) == expected
    assert len(num_ahead) > NUM_OFTEN


@pytest.mark.parametrize("rules", RULES)
def test_mixed_batches_are_the_same_ahead(int8: Pair, rules: str, num_ahead: list[int]) -> None:
    """Greedy rows run ahead whenever the others, which cannot, have left. Nobody's bits depend on who is there."""
    random, pair = Random(5), int8.ruled(**RULES[rules])
    (prompt,) = prompts_of(pair, 1)
    specs = [
        random_spec(source, prompt, random) if index % 5 == 0 else limited(source, prompt, index)
        for index, source in enumerate(random_sources(pair, 80, seed=6))
    ]
    expected = run_batch(pair, specs, Random(2))
    assert not num_ahead
    assert run_batch(pair, specs, Random(1), max_tokens=6, max_rows=FEW_ROWS) == expected
    assert len(num_ahead) > NUM_OFTEN


def test_several_tokens_come_at_once_only_where_all_rows_are_plainly_greedy(int8: Pair) -> None:
    (prompt,) = prompts_of(int8, 1)
    source, other = random_sources(int8, 2, seed=7)
    batch = make_batch(int8)
    add(batch, {1: make_spec(source, prompt, 20, repetition_guard=False, with_alignment=True)})
    assert num_tokens(batch.step(max_tokens=4))[1] == 4
    add(batch, {2: make_spec(other, prompt, 20, num_top_tokens=1)})
    assert num_tokens(batch.step(max_tokens=4)) == {1: 1, 2: 1}
    batch.remove([2])
    assert num_tokens(batch.step(max_tokens=4))[1] == 4


def test_nothing_is_decoded_past_the_limit(int8: Pair) -> None:
    (prompt,) = prompts_of(int8, 1)
    (source,) = random_sources(int8, 1, seed=8)
    batch = make_batch(int8)
    add(batch, {1: make_spec(source, prompt, 3, repetition_guard=False)})
    (progress,) = batch.step(max_tokens=16)
    assert len(progress.tokens) <= 3
    assert progress.hypotheses[0].finish_reason in ("length", "stop")
    assert batch.num_rows == 0


def test_running_ahead_stops_once_enough_rows_have_ended(int8: Pair) -> None:
    (prompt,) = prompts_of(int8, 1)
    sources = random_sources(int8, 8, seed=9)
    batch = make_batch(int8)
    add(batch, {index: make_spec(source, prompt, 30) for index, source in enumerate(sources)})
    progress = batch.step(max_tokens=30, max_ended=2)
    last = max(num_tokens(progress).values())
    ended_before = [each for each in progress if each.hypotheses and len(each.tokens) < last]
    assert len(ended_before) < 2 <= sum(bool(each.hypotheses) for each in progress) < 8
    assert all(len(each.tokens) == last for each in progress if not each.hypotheses)


@torch.inference_mode()
def test_token_chosen_without_storing_logits_is_that_of_stored_ones() -> None:
    pair = load_pair(BUNDLED).computing_in("int8")
    input_ids, lengths = padded(random_sources(pair, 14, seed=3), pair)
    num_tokens = input_ids.shape[1]
    cache = KVCache(
        pair.checkpoint.config,
        max_rows=14,
        max_target_tokens=1,
        max_source_tokens=num_tokens,
        dtype=torch.bfloat16,
        device=CPU,
    )
    cache.write_cross(0, pair.ours.cross_kv(pair.ours.encode(input_ids, lengths)))
    view = cache.view(0, 14, self_tokens=1, source_tokens=num_tokens)
    step = (torch.arange(100, 114), torch.zeros(14, dtype=torch.int64), lengths, view)
    logits = pair.ours.decode_step(*step)
    normalizers = Choices.of(logits).normalizers
    forbidden = logits.argmax(dim=1)[::3].unique()
    allowed = Choices.of(logits.index_fill(1, forbidden, -torch.inf))
    rules = GreedyRules(forbidden, forbidden, torch.zeros(14, dtype=torch.int64))
    chosen, logprobs = pair.ours.decode_ahead(*step, rules=rules, num_steps=1, max_ended=14)
    assert torch.equal(chosen[0], allowed.token_ids)
    assert torch.equal(logprobs[0], allowed.largest - normalizers)


def limited(source: list[int], prompt: list[int], index: int, **options: Any) -> DecodeSpec:
    """Every fourth decode has a shorter limit than the others."""
    return make_spec(source, prompt, MAX_NEW if index % 4 else 1 + index % MAX_NEW, **options)


def alignments(outcome: Outcome) -> dict[int, list[tuple[int, tuple[float, ...]]]]:
    return {
        index: [(token.token_id, token.details.alignment) for token in tokens] for index, (tokens, _) in outcome.items()
    }


def num_tokens(progress: list[Progress]) -> dict[int, int]:
    return {each.decode_id: len(each.tokens) for each in progress}
