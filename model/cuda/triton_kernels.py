"""Our Triton kernels behind `StepKernels`. Imported where there is a GPU: torch's CUDA builds bring Triton along."""

import torch
import triton
from torch import Tensor

from model.cuda import triton_attention, triton_choice
from model.cuda.kernels import FORBIDDEN, FORBIDDEN_IF_SHORT, StepRules, StepState


class TritonKernels:
    """See `StepKernels`. The caches and logits must be dense within a row."""

    def self_attention(
        self, qkv: Tensor, kv: Tensor, positions: Tensor, bias: Tensor | None, *, scale: float
    ) -> Tensor:
        return _attend(qkv[:, 0], qkv[:, 1:], kv, positions, bias, scale=scale)

    def cross_attention(self, q: Tensor, kv: Tensor, source_lengths: Tensor, *, scale: float) -> Tensor:
        return _attend(q, None, kv, source_lengths, None, scale=scale)

    def choose(self, logits: Tensor, rules: StepRules, state: StepState) -> None:
        num_rows, num_columns = logits.shape
        assert logits.is_contiguous(), "a row of logits follows the other"
        num_shares = triton.cdiv(num_columns, triton_choice.SHARE)
        largests, totals, bests = torch.empty((3, num_rows, num_shares), device=logits.device).unbind()
        columns = torch.empty((num_rows, num_shares), dtype=torch.int32, device=logits.device)
        shares = (largests, totals, bests, columns)
        triton_choice.survey[(num_rows, num_shares)](
            logits,
            rules.flags,
            state.positions,
            *shares,
            num_columns,
            rules.min_length,
            SHARE=triton_choice.SHARE,
            BLOCK=triton_choice.BLOCK,
            FORBIDDEN=FORBIDDEN,
            FORBIDDEN_IF_SHORT=FORBIDDEN_IF_SHORT,
            num_warps=triton_choice.NUM_WARPS,
        )
        triton_choice.choose[(num_rows,)](
            *shares,
            state.token_ids,
            state.positions,
            state.places,
            state.chosen,
            state.logprobs,
            num_shares,
            num_columns,
            state.chosen.stride(0),
            state.last_position,
            len(state.chosen) - 1,
            PADDED_SHARES=triton.next_power_of_2(num_shares),
            num_warps=1,
        )


def _attend(
    q: Tensor, new_kv: Tensor | None, kv: Tensor, lengths: Tensor, bias: Tensor | None, *, scale: float
) -> Tensor:
    """Map q [B, H, d], new_kv [B, 2, H, d], kv [B, C, 2, H, d] and bias [H, P] to [B, H * d]."""
    num_rows, num_heads, head_dim = q.shape
    assert kv.stride()[2:] == (num_heads * head_dim, head_dim, 1), "K and V of a token lie side by side"
    output = torch.empty((num_rows, num_heads * head_dim), dtype=q.dtype, device=q.device)
    triton_attention.attend[(num_rows, num_heads)](
        q,
        q if new_kv is None else new_kv,
        kv,
        lengths,
        q if bias is None else bias,
        output,
        scale,
        q.stride(0),
        0 if new_kv is None else new_kv.stride(0),
        kv.stride(0),
        kv.stride(1),
        num_heads * head_dim,
        0 if bias is None else bias.stride(0),
        HEAD_DIM=head_dim,
        PADDED_DIM=triton.next_power_of_2(head_dim),
        BLOCK=triton_attention.BLOCK_TOKENS,
        HAS_NEW=new_kv is not None,
        HAS_BIAS=bias is not None,
        num_warps=triton_attention.NUM_WARPS,
    )
    return output
