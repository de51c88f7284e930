"""How far the bundled checkpoint's log-probabilities in coarser compute types are from those in float32.

Targets that are decoded freely part after the first choice that falls otherwise, and which one that is differs by CPU.
So log-probabilities are compared along the same targets. Their distances hardly differ by CPU: with torch's code for
AVX-512, for AVX2 and for neither, and with bfloat16 in hardware and emulated, they were the same to 5 %.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from transformers import M2M100Tokenizer

from model.transformer.compute_types import ComputeType
from tests.support.encoded_sources import encode_sources
from tests.support.pairs import Pair, greedy_ours, padded

MAX_NEW = 64
SPACING: Mapping[ComputeType, float] = {"bfloat16": 2**-8, "int8": 1 / 127}
"""From one number to the next, relative to it or to the largest of its row. Errors of half of that at each of many
products average out: 0.4 of this distance was measured between the log-probabilities."""
CLEAR_LEAD = 0.5
"""The tolerance in nats: the largest measured difference of a log-probability was 0.2."""
Targets = Sequence[Sequence[int]]
COARSER = [
    pytest.param("bfloat16", marks=pytest.mark.needs("bfloat16")),
    pytest.param("int8", marks=pytest.mark.needs("kernels")),
]


@dataclass(frozen=True)
class Sources:
    ids: list[list[int]]
    prompts: list[list[int]]

    def targets(self, pair: Pair, *, every: int = 1) -> Targets:
        return greedy_ours(pair, self.ids[::every], self.prompts[::every], MAX_NEW)

    def targets_alone(self, pair: Pair, *, every: int) -> Targets:
        picked = zip(self.ids[::every], self.prompts[::every], strict=True)
        return [greedy_ours(pair, [ids], [prompt], MAX_NEW, max_rows=1)[0] for ids, prompt in picked]


@pytest.fixture(scope="module")
def sources(bundled_tokenizer: M2M100Tokenizer) -> Sources:
    return Sources(*encode_sources(bundled_tokenizer))


@dataclass(frozen=True)
class Forced:
    """Every fifth source, and the targets of float32 for them, that all compute types are led along."""

    sources: Targets
    targets: Targets
    prompts: Targets

    def logprobs(self, pair: Pair) -> Tensor:
        """The log-probabilities of all tokens after each token of the targets, target after target: [T, N]."""
        return self._logprobs(pair, [*range(len(self.sources))])

    def logprobs_alone(self, pair: Pair) -> Tensor:
        return torch.cat([self._logprobs(pair, [index]) for index in range(len(self.sources))])

    @torch.inference_mode()
    def _logprobs(self, pair: Pair, picked: list[int]) -> Tensor:
        input_ids, source_lengths = padded([list(self.sources[index]) for index in picked], pair)
        targets, lengths = padded([[*self.prompts[index], *self.targets[index][:-1]] for index in picked], pair)
        is_token = torch.arange(targets.shape[1]) < lengths[:, None]
        return pair.ours(input_ids, source_lengths, targets).float().log_softmax(dim=-1)[is_token]


@pytest.fixture(scope="module")
def forced(bundled: Pair, sources: Sources) -> Forced:
    return Forced(sources.ids[::5], sources.targets(bundled, every=5), sources.prompts[::5])


@pytest.fixture(scope="module")
def float32_logprobs(bundled: Pair, forced: Forced) -> Tensor:
    return forced.logprobs(bundled)


@pytest.mark.parametrize("compute_type", COARSER)
def test_logprobs_of_coarser_types_are_nearer_to_those_of_float32_than_their_numbers_to_each_other(
    bundled: Pair, forced: Forced, float32_logprobs: Tensor, compute_type: ComputeType
) -> None:
    logprobs = forced.logprobs(bundled.computing_in(compute_type))
    assert (logprobs - float32_logprobs).norm() < SPACING[compute_type] * float32_logprobs.norm()


@pytest.mark.parametrize("compute_type", COARSER)
def test_coarser_types_choose_as_float32_where_the_choice_is_clear(
    bundled: Pair, forced: Forced, float32_logprobs: Tensor, compute_type: ComputeType
) -> None:
    best = float32_logprobs.topk(2, dim=1)
    is_clear = best.values[:, 0] - best.values[:, 1] > CLEAR_LEAD
    chosen = forced.logprobs(bundled.computing_in(compute_type)).argmax(dim=1)
    assert torch.equal(chosen[is_clear], best.indices[is_clear, 0])
    assert is_clear.sum() > 500


def test_targets_in_float32_batches_are_those_of_each_source_alone(bundled: Pair, sources: Sources) -> None:
    """To the token: where log-probabilities differ by roundings of float32, none of these choices is near enough."""
    assert sources.targets(bundled, every=10) == sources.targets_alone(bundled, every=10)


@pytest.mark.needs("kernels")
def test_targets_in_int8_batches_are_those_of_each_source_alone(bundled: Pair, sources: Sources) -> None:
    pair = bundled.computing_in("int8")
    assert sources.targets(pair, every=2) == sources.targets_alone(pair, every=2)


@pytest.mark.needs("bfloat16")
def test_logprobs_in_bfloat16_batches_are_nearly_those_of_each_source_alone(bundled: Pair, forced: Forced) -> None:
    """The order of a product's sums depends on the number of rows, and bfloat16 has 8 bits for what that changes."""
    pair = bundled.computing_in("bfloat16")
    batch, alone = forced.logprobs(pair), forced.logprobs_alone(pair)
    assert (batch - alone).norm() < SPACING["bfloat16"] * alone.norm()
