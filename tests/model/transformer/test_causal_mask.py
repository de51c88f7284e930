"""The mask that is explained is the mask that is used."""

import pytest
import torch

from model.transformer.attention import causal_mask
from model.transformer.causal_mask import causal_mask_rows
from tests.support.pairs import Pair

LOWEST = torch.finfo(torch.float32).min


@pytest.mark.parametrize("num_tokens", [1, 2, 40])
def test_causal_mask_rows_equal_the_mask_of_the_decoder(pair: Pair, num_tokens: int) -> None:
    transformer = pair.ours
    positions = torch.arange(num_tokens)[None]
    bias = None if transformer.decoder_bias is None else transformer.decoder_bias(positions, num_tokens)
    used = causal_mask(positions, num_tokens, dtype=torch.float32, bias=bias)[0]
    by_distance = transformer.decoder_bias_by_distance(50)
    assert (by_distance is None) == (pair.checkpoint.config.relative_positions is None)
    rows = causal_mask_rows(num_tokens, lowest=LOWEST, bias_by_distance=by_distance)
    assert rows == (used[0] if by_distance is None else used).tolist()


def test_causal_mask_rows_refuse_a_table_that_is_too_short() -> None:
    with pytest.raises(ValueError, match="shorter than 3 tokens"):
        causal_mask_rows(3, lowest=LOWEST, bias_by_distance=[[0.0, 1.0, 2.0], [0.0, 1.0]])
