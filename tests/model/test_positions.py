"""Position tables equal those of `transformers`, to the last bit."""

import torch

from model.positions import positions_table
from tests.model.pairs import Pair


def test_m2m100_positions_equal_transformers(m2m100: Pair) -> None:
    theirs = m2m100.theirs.model.encoder.embed_positions.weights
    ours = positions_table(m2m100.checkpoint.config)
    assert torch.equal(ours, theirs[2 : 2 + len(ours)])


def test_marian_positions_equal_transformers(marian: Pair) -> None:
    assert torch.equal(positions_table(marian.checkpoint.config), marian.theirs.model.encoder.embed_positions.weight)


def test_longer_table_begins_with_the_shorter_one(pair: Pair) -> None:
    short = positions_table(pair.checkpoint.config)
    longer = positions_table(pair.checkpoint.config, num_positions=len(short) + 5)
    assert torch.equal(longer[: len(short)], short)
