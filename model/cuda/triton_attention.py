"""Attention of one token a row over its own K and V, to each row's own length.

A program has one head of one row. It reads blocks of tokens and keeps a running softmax, so that nothing is read past
the row's length and no mask is made.
"""

import triton
import triton.language as tl

BLOCK_TOKENS = 32
NUM_WARPS = 2
"""Of a head of 64: 16 bytes a load, and all loads of a block in flight at once. Not tuned: no GPU was at hand."""


@triton.jit
def attend(
    q,
    new_kv,
    kv,
    lengths,
    bias,
    output,
    scale,
    q_row_stride,
    new_row_stride,
    kv_row_stride,
    kv_token_stride,
    v_offset,
    bias_head_stride,
    HEAD_DIM: tl.constexpr,
    PADDED_DIM: tl.constexpr,
    BLOCK: tl.constexpr,
    HAS_NEW: tl.constexpr,
    HAS_BIAS: tl.constexpr,
):
    """Attend over `lengths` tokens of a row, and with HAS_NEW over a new one, which is written behind them.

    K of a head lies at `kv`, V `v_offset` values further. The bias is by distance from the new token.
    """
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    dims = tl.arange(0, PADDED_DIM)
    is_dim = dims < HEAD_DIM
    at_head = head * HEAD_DIM + dims
    query = tl.load(q + row * q_row_stride + at_head, mask=is_dim, other=0.0).to(tl.float32) * scale
    length = tl.load(lengths + row)
    cache = kv + row * kv_row_stride + at_head

    if HAS_NEW:
        new = new_kv + row * new_row_stride + at_head
        new_k = tl.load(new, mask=is_dim, other=0.0)
        new_v = tl.load(new + v_offset, mask=is_dim, other=0.0)
        tl.store(cache + length * kv_token_stride, new_k, mask=is_dim)
        tl.store(cache + length * kv_token_stride + v_offset, new_v, mask=is_dim)
        largest = tl.sum(query * new_k.to(tl.float32))
        if HAS_BIAS:
            largest += tl.load(bias + head * bias_head_stride).to(tl.float32)
        total = 1.0
        attended = new_v.to(tl.float32)
    else:
        largest = float("-inf")
        total = 0.0
        attended = tl.zeros([PADDED_DIM], dtype=tl.float32)

    tokens = tl.arange(0, BLOCK)
    start = length * 0
    while start < length:  # Triton 3.6 interprets no `range` over a loaded number with NumPy 2.4
        is_token = tokens < length
        places = cache[None, :] + tokens[:, None] * kv_token_stride
        is_value = is_token[:, None] & is_dim[None, :]
        k = tl.load(places, mask=is_value, other=0.0).to(tl.float32)
        v = tl.load(places + v_offset, mask=is_value, other=0.0).to(tl.float32)
        scores = tl.sum(query[None, :] * k, axis=1)
        if HAS_BIAS:
            by_distance = bias + head * bias_head_stride + (length - tokens)
            scores += tl.load(by_distance, mask=is_token, other=0.0).to(tl.float32)
        scores = tl.where(is_token, scores, float("-inf"))
        new_largest = tl.maximum(largest, tl.max(scores, axis=0))
        weights = tl.exp(scores - new_largest)
        kept = tl.exp(largest - new_largest)
        total = total * kept + tl.sum(weights, axis=0)
        attended = attended * kept + tl.sum(weights[:, None] * v, axis=0)
        largest = new_largest
        tokens += BLOCK
        start += BLOCK

    heads = output + row * (tl.num_programs(1) * HEAD_DIM) + at_head
    tl.store(heads, (attended / total).to(output.dtype.element_ty), mask=is_dim)
