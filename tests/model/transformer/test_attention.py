"""The masks M hide what they should, and attention is softmax(QK^T/sqrt(d) + M)V."""

import torch

from model.transformer.attention import attention, causal_mask, source_mask

LOWEST = torch.finfo(torch.float32).min


def test_causal_mask_shows_the_past_and_the_token_itself() -> None:
    mask = causal_mask(torch.tensor([[0, 1, 2]]), 3, dtype=torch.float32)
    assert mask.tolist() == [[[[0, LOWEST, LOWEST], [0, 0, LOWEST], [0, 0, 0]]]]


def test_causal_mask_follows_each_row_to_its_own_position() -> None:
    mask = causal_mask(torch.tensor([[2], [0]]), 4, dtype=torch.float32)
    assert mask.tolist() == [[[[0, 0, 0, LOWEST]]], [[[0, LOWEST, LOWEST, LOWEST]]]]


def test_source_mask_hides_the_padding() -> None:
    mask = source_mask(torch.tensor([3, 1]), 3, dtype=torch.float32)
    assert mask.tolist() == [[[[0, 0, 0]]], [[[0, LOWEST, LOWEST]]]]


def test_attention_of_one_query_equals_that_of_many() -> None:
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(2, 5, 3, 7, generator=generator)
    kv = torch.randn(2, 5, 2, 3, 7, generator=generator)
    mask = causal_mask(torch.arange(5)[None], 5, dtype=torch.float32)
    alone = [attention(q[:, [t]], kv, mask[:, :, [t]]) for t in range(5)]
    torch.testing.assert_close(torch.cat(alone, dim=1), attention(q, kv, mask))


def test_attention_equals_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(1, 4, 1, 9, generator=generator)
    kv = torch.randn(1, 4, 2, 1, 9, generator=generator)
    k, v = kv[0, :, :, 0].unbind(1)
    mask = source_mask(torch.tensor([3]), 4, dtype=torch.float32)
    expected = torch.softmax(q[0, :, 0] @ k.T / 3 + mask[0, 0], dim=-1) @ v
    torch.testing.assert_close(attention(q, kv, mask)[0], expected)
