"""Position tables equal those of `transformers`, to the last bit where it computes in float64."""

import math

import pytest
import torch
from transformers.models.t5.modeling_t5 import T5Attention

from model.checkpoint.config import RelativePositions
from model.transformer.positions import RelativeBias, distance_buckets, positions_table
from model.transformer.sines import cos, sin
from tests.support.pairs import Pair

ROUNDING = torch.finfo(torch.float32).eps
"""The error of a frequency in float32, which differs by machine; multiplied by the position."""


def test_m2m100_positions_equal_transformers(m2m100: Pair) -> None:
    theirs = m2m100.theirs.model.encoder.embed_positions.weights
    ours = positions_table(m2m100.checkpoint.config)
    torch.testing.assert_close(ours, theirs[2 : 2 + len(ours)], rtol=0, atol=ROUNDING * len(ours))


def test_marian_positions_equal_transformers(marian: Pair) -> None:
    assert torch.equal(positions_table(marian.checkpoint.config), marian.theirs.model.encoder.embed_positions.weight)


def test_pegasus_positions_equal_transformers(pegasus: Pair) -> None:
    assert torch.equal(positions_table(pegasus.checkpoint.config), pegasus.theirs.model.encoder.embed_positions.weight)


@pytest.mark.parametrize("num_buckets", [4, 7, 8, 32, 33])
@pytest.mark.parametrize("max_distance", [17, 20, 128])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets_of_distances_equal_transformers(num_buckets: int, max_distance: int, bidirectional: bool) -> None:
    distances = torch.arange(-300, 301)
    theirs = T5Attention._relative_position_bucket(distances, bidirectional, num_buckets, max_distance)
    buckets = distance_buckets(RelativePositions(num_buckets, max_distance), bidirectional=bidirectional)
    ours = buckets[distances.clamp(-max_distance, max_distance) + max_distance]
    assert torch.equal(ours, theirs)


def test_relative_bias_depends_on_the_distance_and_the_head_alone() -> None:
    bias = RelativeBias(RelativePositions(8, 20), num_heads=3, bidirectional=True)
    bias.bias = torch.nn.Parameter(torch.randn(8, 3, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        output = bias(torch.tensor([[0, 5], [30, 7]]), 40)
    assert output.shape == (2, 3, 2, 40)
    assert torch.equal(output[0, :, 0, 0], bias.bias[0])
    for row, token, position in ((0, 0, 0), (0, 1, 5), (1, 0, 30), (1, 1, 7)):
        for column in (0, 6, 39):
            bucket = bias.buckets[min(max(column - position, -20), 20) + 20]
            assert torch.equal(output[row, :, token, column], bias.bias[bucket])


@pytest.mark.parametrize("family", ["m2m100", "marian", "pegasus"])
def test_longer_table_begins_with_the_shorter_one(family: str, request: pytest.FixtureRequest) -> None:
    pair: Pair = request.getfixturevalue(family)
    short = positions_table(pair.checkpoint.config)
    longer = positions_table(pair.checkpoint.config, num_positions=len(short) + 5)
    assert torch.equal(longer[: len(short)], short)


def test_sines_are_those_of_the_mathematical_library() -> None:
    angles = torch.cat([torch.arange(0, 2000, 0.37, dtype=torch.float64), torch.tensor([0.0, 1e-9, 30000.0])])
    exact = [(math.sin(each), math.cos(each)) for each in angles.tolist()]
    for ours, theirs in zip((sin(angles), cos(angles)), zip(*exact, strict=True), strict=True):
        torch.testing.assert_close(ours, torch.tensor(theirs, dtype=torch.float64), rtol=0, atol=4e-16)
