"""A step that is recorded once and replayed on the same memory, read a turn behind, changes no token."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor

from model.cuda.kernels import StepRules, TorchKernels
from model.cuda.runtime import EagerRuntime
from model.cuda.step import DeviceStep
from model.decoding.batch import DecodingBatch
from model.transformer.kv_cache import KVCache
from tests.support.mixed_batch import RULES, Outcome, add, random_spec, run_batch
from tests.support.pairs import CPU, Pair, make_spec, prompts_of, random_sources
from tests.support.recording import NotRecordableError, RecordingRuntime

NUM_DECODES = 24
PLAIN_RULES: dict[str, dict[str, Any]] = {
    "forbidden": {"bad_words_ids": ((7,),), "suppress_tokens": (30,), "forced_eos_token_id": 5},
    "minimum length": {"min_length": 8},
}


def assert_same(outcome: Outcome, expected: Outcome) -> None:
    """The same tokens, and log-probabilities as close as attention over more columns allows."""
    assert outcome.keys() == expected.keys()
    for index, (tokens, hypotheses) in outcome.items():
        expected_tokens, expected_hypotheses = expected[index]
        assert [each.token_id for each in tokens] == [each.token_id for each in expected_tokens]
        for ours, theirs in zip(hypotheses, expected_hypotheses, strict=True):
            assert (ours.token_ids, ours.finish_reason) == (theirs.token_ids, theirs.finish_reason)
            assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-3)


def test_replayed_steps_equal_plain_ones_as_rows_come_and_go(pair: Pair) -> None:
    (prompt,) = prompts_of(pair, 1)
    sources = random_sources(pair, NUM_DECODES, seed=4)
    specs = [make_spec(source, prompt, 1 + index % 22) for index, source in enumerate(sources)]
    runtime = RecordingRuntime()
    assert_same(run_batch(pair, specs, Random(2), max_tokens=5, runtime=runtime), run_batch(pair, specs, Random(1)))
    assert runtime.num_recorded <= 12
    assert runtime.num_replayed > 15


@pytest.mark.parametrize("rules", PLAIN_RULES)
@pytest.mark.parametrize("max_tokens", [1, 7])
def test_replayed_steps_keep_the_rules_that_forbid_tokens(m2m100: Pair, rules: str, max_tokens: int) -> None:
    pair = m2m100.ruled(**PLAIN_RULES[rules])
    (prompt,) = prompts_of(pair, 1)
    sources = random_sources(pair, NUM_DECODES, seed=5)
    specs = [make_spec(source, prompt, 1 + index % 22) for index, source in enumerate(sources)]
    replayed = run_batch(pair, specs, Random(2), max_tokens=max_tokens, runtime=EagerRuntime())
    assert_same(replayed, run_batch(pair, specs, Random(1)))


@pytest.mark.parametrize("rules", sorted(RULES))
def test_mixed_batches_are_the_same_with_replayed_steps(m2m100: Pair, rules: str) -> None:
    random = Random(rules)
    pair = m2m100.ruled(**RULES[rules])
    (prompt,) = prompts_of(pair, 1)
    specs = [random_spec(source, prompt, random) for source in random_sources(pair, NUM_DECODES, seed=6)]
    replayed = run_batch(pair, specs, Random(1), max_tokens=6, runtime=EagerRuntime())
    assert_same(replayed, run_batch(pair, specs, Random(2)))


def test_turn_is_read_while_the_next_one_runs(m2m100: Pair) -> None:
    (prompt,) = prompts_of(m2m100, 1)
    (source,) = random_sources(m2m100, 1, seed=7)
    pair = m2m100.ruled(min_length=20)
    batch = DecodingBatch(
        pair.ours, pair.checkpoint, max_rows=2, max_source_tokens=32, max_target_tokens=40, runtime=EagerRuntime()
    )
    add(batch, {1: make_spec(source, prompt, 12, repetition_guard=False)})
    counts = []
    while batch.num_rows:
        counts.append(sum(len(each.tokens) for each in batch.step(max_tokens=5)))
    assert counts == [0, 5, 5, 2]


class WatchedKernels(TorchKernels):
    """Note the longest row of each attention, by slot."""

    def __init__(self, num_slots: int) -> None:
        self.positions = torch.zeros(num_slots, dtype=torch.int64)
        self.source_lengths = torch.zeros(num_slots, dtype=torch.int64)

    def self_attention(
        self, qkv: Tensor, kv: Tensor, positions: Tensor, bias: Tensor | None, *, scale: float
    ) -> Tensor:
        note_longest(self.positions, positions)
        return super().self_attention(qkv, kv, positions, bias, scale=scale)

    def cross_attention(self, q: Tensor, kv: Tensor, source_lengths: Tensor, *, scale: float) -> Tensor:
        note_longest(self.source_lengths, source_lengths)
        return super().cross_attention(q, kv, source_lengths, scale=scale)


def note_longest(longest: Tensor, lengths: Tensor) -> None:
    longest[: len(lengths)] = torch.maximum(longest[: len(lengths)], lengths)


@torch.inference_mode()
def test_free_slots_stay_short_while_others_run(m2m100: Pair) -> None:
    num_rows, num_slots, source_tokens, num_turns, num_steps = 5, 8, 30, 10, 4
    config = m2m100.checkpoint.config
    cache = KVCache(
        config,
        max_rows=num_slots,
        max_target_tokens=64,
        max_source_tokens=source_tokens,
        dtype=torch.float32,
        device=CPU,
    )
    no_token = torch.zeros(0, dtype=torch.int64)
    rules = StepRules.of(no_token, no_token, vocab_size=config.decoder_vocab_size, min_length=0)
    kernels = WatchedKernels(num_slots)
    step = DeviceStep(m2m100.ours, cache, rules, kernels=kernels, runtime=EagerRuntime())
    step.write(0, torch.tensor([[9], [20], [source_tokens]]).expand(3, num_slots))  # three rows leave at once
    for _ in range(num_turns):
        step.start_turn(num_rows, num_steps)()
        step.logits(num_rows)
    assert kernels.positions.tolist() == [20 + num_turns * num_steps] * num_rows + [num_steps - 1] * 3
    assert kernels.source_lengths.tolist() == [source_tokens] * num_rows + [1] * 3


def test_all_sizes_are_recorded_ahead(m2m100: Pair) -> None:
    runtime = RecordingRuntime()
    batch = DecodingBatch(
        m2m100.ours, m2m100.checkpoint, max_rows=80, max_source_tokens=8, max_target_tokens=8, runtime=runtime
    )
    batch.record_steps()
    assert runtime.num_recorded == 2 * len([1, 2, 4, 8, 16, 32, 64, 80])


def test_encoder_outputs_leave_together(m2m100: Pair) -> None:
    batch = DecodingBatch(
        m2m100.ours, m2m100.checkpoint, max_rows=1, max_source_tokens=40, max_target_tokens=8, runtime=EagerRuntime()
    )
    outputs = batch.encode(random_sources(m2m100, 3, seed=8)).hidden_states
    for output, data in zip(outputs, batch.fetch_encoder_outputs(outputs)(), strict=True):
        assert torch.equal(batch.encoder_output_tensor(data, len(output)), output)


LEFT: list[Tensor] = []


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x.fill_(int(x.sum())), "waits for the device"),
        (lambda x: x.copy_(x[x > 0].sum()), "makes a shape of data"),
        (lambda x: x.add_(torch.tensor([1.0, 2.0])), "makes a tensor on the host"),
        (lambda x: LEFT.append(x * 2), "outlive the step"),
    ],
)
def test_recording_refuses_what_a_graph_cannot_repeat(function: Callable[[Tensor], None], reason: str) -> None:
    memory = torch.randn(2)
    with pytest.raises(NotRecordableError, match=reason):
        RecordingRuntime().record(lambda: function(memory))
