"""Numbers that are not finite end the decodes they are in with an error, and no other ones, in every compute type."""

from typing import Any

import pytest
import torch

from model.decoding.batch import DecodingBatch
from model.decoding.generate import generate
from model.search.results import Progress
from model.search.spec import DecodeSpec, Sampling
from model.transformer.compute_types import ComputeType
from tests.support.mixed_batch import add
from tests.support.pairs import Pair, make_spec, prompts_of

COMPUTE_TYPES = [
    "float32",
    pytest.param("bfloat16", marks=pytest.mark.needs("bfloat16")),
    pytest.param("int8", marks=pytest.mark.needs("kernels")),
]
DAMAGED = 20
"""A token whose embedding is damaged."""
KINDS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "sampled": {"sampling": Sampling(7, 1.0, 0, 1.0)},
    "beams": {"beam_size": 2},
}


@pytest.fixture(params=COMPUTE_TYPES)
def pair(request: pytest.FixtureRequest, m2m100: Pair) -> Pair:
    compute_type: ComputeType = request.param
    return m2m100.computing_in(compute_type)


def damage(pair: Pair, value: float) -> None:
    with torch.no_grad():
        pair.ours.source_embed_tokens.weight[DAMAGED, 3] = value


def specs_of(pair: Pair, source: list[int]) -> dict[int, DecodeSpec]:
    (prompt,) = prompts_of(pair, 1)
    return {index: make_spec(source, prompt, 9, **options) for index, options in enumerate(KINDS.values())}


def run(pair: Pair, specs: dict[int, DecodeSpec], batch: DecodingBatch) -> dict[int, Progress]:
    """The last progress of each."""
    add(batch, specs)
    ended: dict[int, Progress] = {}
    while batch.num_rows:
        ended |= {progress.decode_id: progress for progress in batch.step() if progress.is_last}
    return ended


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_only_decodes_with_numbers_that_are_not_finite_fail(pair: Pair, value: float) -> None:
    batch = DecodingBatch(pair.ours, pair.checkpoint, max_rows=8, max_source_tokens=20, max_target_tokens=20)
    healthy = specs_of(pair, [31, 32, 33, 5])
    expected = run(pair, healthy, batch)
    damage(pair, value)
    broken = {10 + index: spec for index, spec in specs_of(pair, [40, 41, DAMAGED, 42, 43, 44, 45, 46, 5]).items()}
    ended = run(pair, {**broken, **healthy}, batch)
    for decode_id in broken:
        assert not ended[decode_id].hypotheses
        assert "checkpoint test computes numbers that are not finite" in ended[decode_id].problem
    tokens = {index: ended[index].hypotheses[0].token_ids for index in healthy}
    assert tokens == {index: progress.hypotheses[0].token_ids for index, progress in expected.items()}
    again = run(pair, healthy, batch)
    assert not any(progress.problem for progress in again.values()), "numbers were left in the caches"


def test_a_forced_end_hides_nothing(pair: Pair) -> None:
    ruled = pair.ruled(forced_eos_token_id=5)
    (prompt,) = prompts_of(ruled, 1)
    specs = {index: make_spec([40, DAMAGED, 5], prompt, 1, **options) for index, options in enumerate(KINDS.values())}
    damage(ruled, float("nan"))
    batch = DecodingBatch(ruled.ours, ruled.checkpoint, max_rows=8, max_source_tokens=20, max_target_tokens=20)
    for progress in run(ruled, specs, batch).values():
        assert "checkpoint test computes numbers that are not finite" in progress.problem


def test_offline_decoding_raises_where_numbers_are_not_finite(pair: Pair) -> None:
    damage(pair, float("nan"))
    with pytest.raises(ArithmeticError, match="checkpoint test computes numbers that are not finite"):
        generate(pair.ours, pair.checkpoint, [*specs_of(pair, [DAMAGED, 5]).values()])
