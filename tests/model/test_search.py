"""The next token is the best one that is allowed, and its log-probability is the model's own."""

import pytest
import torch

from model.search import LogitsRules, choose_greedy, first_argmax

NONE = torch.zeros(0, dtype=torch.int64)
NOT_LAST = torch.zeros(2, dtype=torch.bool)


def random_logits(num_rows: int, num_columns: int, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(num_rows, num_columns, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("num_columns", [1, 5, 127, 128, 129, 256, 1000, 16_108])
def test_first_argmax_equals_argmax_at_every_width(num_columns: int) -> None:
    logits = random_logits(50, num_columns)
    assert torch.equal(first_argmax(logits), logits.argmax(dim=1))


@pytest.mark.parametrize(("first", "second"), [(0, 1), (3, 299), (127, 128), (200, 299), (298, 299)])
def test_first_argmax_takes_the_first_of_equals(first: int, second: int) -> None:
    logits = torch.zeros(1, 300)
    logits[0, [first, second]] = 1.0
    assert first_argmax(logits).tolist() == [first]


def test_first_argmax_finds_the_only_column_that_is_not_suppressed() -> None:
    logits = torch.full((3, 300), -torch.inf)
    logits[[0, 1, 2], [0, 150, 299]] = -5.0
    assert first_argmax(logits).tolist() == [0, 150, 299]


def test_greedy_logprob_is_the_log_softmax_of_the_whole_row() -> None:
    logits = random_logits(2, 300)
    expected = logits.log_softmax(dim=-1).amax(dim=-1)
    token_ids, logprobs = choose_greedy(logits.clone(), LogitsRules(NONE, None), is_last=NOT_LAST)
    assert torch.equal(token_ids, logits.argmax(dim=-1))
    torch.testing.assert_close(logprobs, expected)


def test_suppressed_token_is_not_chosen_and_keeps_its_share_of_the_probability() -> None:
    logits = random_logits(2, 300)
    best, second = logits.topk(2, dim=-1).indices.unbind(dim=1)
    expected = logits.log_softmax(dim=-1).gather(1, second[:, None])[:, 0]
    suppressing = LogitsRules(best[:1], None)
    token_ids, logprobs = choose_greedy(logits.clone(), suppressing, is_last=NOT_LAST)
    assert token_ids.tolist() == [second[0], best[1]]
    torch.testing.assert_close(logprobs[0], expected[0])


def test_end_is_forced_only_on_rows_in_their_last_place() -> None:
    logits = random_logits(2, 300)
    is_last = torch.tensor([False, True])
    token_ids, logprobs = choose_greedy(logits.clone(), LogitsRules(NONE, 7), is_last=is_last)
    assert token_ids.tolist() == [int(logits[0].argmax()), 7]
    torch.testing.assert_close(logprobs[1], logits[1].log_softmax(dim=-1)[7])


def test_last_place_is_free_without_a_forced_end() -> None:
    logits = random_logits(2, 300)
    token_ids, _ = choose_greedy(logits.clone(), LogitsRules(NONE, None), is_last=torch.ones(2, dtype=torch.bool))
    assert torch.equal(token_ids, logits.argmax(dim=-1))
