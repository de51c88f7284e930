"""The greedy choice from logits and its feedback, reading the logits once.

`survey` has a program for each share of a row's columns; `choose` joins the shares of a row and updates its state.
"""

import triton
import triton.language as tl

SHARE = 4096
BLOCK = 1024
"""Columns of a program, and those that it reads at a time. Not tuned: no GPU was at hand."""
NUM_WARPS = 4


@triton.jit
def survey(
    logits,
    flags,
    positions,
    largests,
    totals,
    bests,
    columns,
    num_columns,
    min_length,
    SHARE: tl.constexpr,
    BLOCK: tl.constexpr,
    FORBIDDEN: tl.constexpr,
    FORBIDDEN_IF_SHORT: tl.constexpr,
):
    """The largest logit of a share, the sum of exp(logit - largest), and the first best column that is allowed.

    All four results are [B, shares].
    """
    row = tl.program_id(0).to(tl.int64)
    share = tl.program_id(1)
    is_short = tl.load(positions + row) + 1 < min_length
    bits = tl.where(is_short, FORBIDDEN_IF_SHORT, FORBIDDEN)
    lanes = tl.arange(0, BLOCK)
    # Finite, so that a difference of two of them is 0 where a share has no column.
    largest = tl.full([BLOCK], -3.0e38, dtype=tl.float32)
    total = tl.zeros([BLOCK], dtype=tl.float32)
    best = tl.full([BLOCK], float("-inf"), dtype=tl.float32)
    column = tl.zeros([BLOCK], dtype=tl.int32)
    for start in range(0, SHARE, BLOCK):
        places = share * SHARE + start + lanes
        is_column = places < num_columns
        scores = tl.load(logits + row * num_columns + places, mask=is_column, other=float("-inf")).to(tl.float32)
        new_largest = tl.maximum(largest, scores)
        total = total * tl.exp(largest - new_largest) + tl.exp(scores - new_largest)
        largest = new_largest
        is_forbidden = (tl.load(flags + places, mask=is_column, other=0).to(tl.int32) & bits) != 0
        scores = tl.where(is_forbidden, float("-inf"), scores)
        is_better = scores > best
        column = tl.where(is_better, places, column)
        best = tl.where(is_better, scores, best)
    of_share = tl.max(largest, axis=0)
    best_of_share = tl.max(best, axis=0)
    at = row * tl.num_programs(1) + share
    tl.store(largests + at, of_share)
    tl.store(totals + at, tl.sum(total * tl.exp(largest - of_share), axis=0))
    tl.store(bests + at, best_of_share)
    tl.store(columns + at, tl.min(tl.where(best == best_of_share, column, num_columns - 1), axis=0))


@triton.jit
def choose(
    largests,
    totals,
    bests,
    columns,
    token_ids,
    positions,
    places,
    chosen,
    logprobs,
    num_shares,
    num_columns,
    num_rows_of_chosen,
    last_position,
    last_place,
    PADDED_SHARES: tl.constexpr,
):
    """Choose a row's token, note it at the row's place of `chosen` and `logprobs` [C, R], and move the row on."""
    row = tl.program_id(0)
    shares = tl.arange(0, PADDED_SHARES)
    is_share = shares < num_shares
    at = row * num_shares + shares
    largest = tl.load(largests + at, mask=is_share, other=-3.0e38)
    total = tl.load(totals + at, mask=is_share, other=0.0)
    best = tl.load(bests + at, mask=is_share, other=float("-inf"))
    column = tl.load(columns + at, mask=is_share, other=0)
    of_row = tl.max(largest, axis=0)
    normalizer = of_row + tl.log(tl.sum(total * tl.exp(largest - of_row), axis=0))
    best_of_row = tl.max(best, axis=0)
    token_id = tl.min(tl.where(best == best_of_row, column, num_columns - 1), axis=0)
    place = tl.load(places + row)
    at_place = place * num_rows_of_chosen + row
    tl.store(chosen + at_place, token_id)
    tl.store(logprobs + at_place, best_of_row - normalizer)
    tl.store(token_ids + row, token_id.to(tl.int64))
    tl.store(positions + row, tl.minimum(tl.load(positions + row) + 1, last_position))
    tl.store(places + row, tl.minimum(place + 1, last_place))
