"""Attention(Q, K, V) = softmax(QK^T/sqrt(d) + M)V, the masks M, and the two kinds of attention sublayer.

Shapes: B rows, S source tokens, T target tokens (C of them in the cache), H heads, d head size, D model
size (H * d in most families).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.transformer.kv_cache import LayerSelfKV
from model.transformer.linear import Linear


def source_mask(source_lengths: Tensor, num_tokens: int, *, dtype: torch.dtype, bias: Tensor | None = None) -> Tensor:
    """M [B, 1, 1, S], which hides the padding after `source_lengths` [B]; [B, H, S, S] with a bias."""
    columns = torch.arange(num_tokens, device=source_lengths.device)
    return _additive(columns >= source_lengths[:, None, None, None], dtype, bias)


def causal_mask(token_positions: Tensor, num_tokens: int, *, dtype: torch.dtype, bias: Tensor | None = None) -> Tensor:
    """M [B, 1, T, C], which hides the future: the token at position p of `token_positions` [B, T] sees columns 0..p.

    With a bias [B, H, T, C] of relative positions, M has the shape of the bias.
    """
    columns = torch.arange(num_tokens, device=token_positions.device)
    return _additive(columns > token_positions[:, None, :, None], dtype, bias)


def _additive(hidden: Tensor, dtype: torch.dtype, bias: Tensor | None) -> Tensor:
    """0 or the bias where a position may be seen, and the most negative number elsewhere.

    -inf would turn a row that sees nothing into NaN.
    """
    lowest = torch.finfo(dtype).min
    return hidden.to(dtype).mul_(lowest) if bias is None else bias.masked_fill(hidden, lowest)


def attention(q: Tensor, kv: Tensor, mask: Tensor, *, scale: float | None = None) -> Tensor:
    """Map q [B, T, H, d], kv [B, C, 2, H, d] and M, broadcast to [B, H, T, C] -> heads side by side [B, T, H * d].

    `scale` replaces 1/sqrt(d).
    """
    k, v = kv.transpose(1, 3).unbind(2)  # [B, H, C, d] each
    if q.shape[1] == 1 and q.dtype == torch.bfloat16 and q.device.type == "cpu":
        # Here two products take two fifths of the time of scaled_dot_product_attention, which grows to milliseconds.
        scores = (q.transpose(1, 2) @ k.transpose(2, 3)).mul_(q.shape[3] ** -0.5 if scale is None else scale)
        return ((scores + mask).softmax(dim=-1) @ v).transpose(1, 2).flatten(2)
    heads = F.scaled_dot_product_attention(q.transpose(1, 2), k, v, attn_mask=mask, scale=scale)
    return heads.transpose(1, 2).flatten(2)


@dataclass(slots=True)
class CrossWeights:
    """A request for the cross-attention weights of some rows in one decoder layer, averaged over the heads."""

    layer: int
    rows: Tensor
    """[n] int64"""
    weights: Tensor | None = None
    """[n, T, S], float32: filled in by the layer."""


class SelfAttention(nn.Module):
    """Q, K and V of the same tokens, in one product; with a cache, also K and V of earlier tokens."""

    def __init__(self, d_model: int, *, num_heads: int, head_dim: int, bias: bool, scale: float | None) -> None:
        super().__init__()
        self.heads = (num_heads, head_dim)
        self.scale = scale
        self.qkv_proj = Linear(d_model, 3 * num_heads * head_dim, bias=bias)
        self.out_proj = Linear(num_heads * head_dim, d_model, bias=bias)

    def forward(self, hidden_states: Tensor, mask: Tensor, self_kv: LayerSelfKV | None = None) -> Tensor:
        """hidden_states [B, T, D] -> [B, T, D]; `self_kv` takes the new K and V and returns all of them."""
        qkv = self.qkv_proj(hidden_states).unflatten(-1, (3, *self.heads))  # [B, T, 3, H, d]
        q, kv = qkv[:, :, 0], qkv[:, :, 1:]
        if self_kv is not None:
            kv = self_kv.write(kv)
        output: Tensor = self.out_proj(attention(q, kv, mask, scale=self.scale))
        return output


class CrossAttention(nn.Module):
    """Q' of the target over K' and V' of the source, which the caller computes once: see `Transformer.cross_kv`."""

    def __init__(self, d_model: int, *, num_heads: int, head_dim: int, bias: bool, scale: float | None) -> None:
        super().__init__()
        self.heads = (num_heads, head_dim)
        self.scale = scale
        self.q_proj = Linear(d_model, num_heads * head_dim, bias=bias)
        self.out_proj = Linear(num_heads * head_dim, d_model, bias=bias)

    def forward(self, hidden_states: Tensor, cross_kv: Tensor, mask: Tensor) -> Tensor:
        """hidden_states [B, T, D], cross_kv [B, S, 2, H, d] -> [B, T, D]."""
        q = self.q_proj(hidden_states).unflatten(-1, self.heads)
        output: Tensor = self.out_proj(attention(q, cross_kv, mask, scale=self.scale))
        return output

    def weights(self, hidden_states: Tensor, cross_kv: Tensor, mask: Tensor) -> Tensor:
        """softmax(Q'K'^T/sqrt(d) + M), averaged over the heads [B, T, S], of the arguments of `forward`."""
        q = self.q_proj(hidden_states).unflatten(-1, self.heads)
        scores = torch.einsum("bthd,bshd->bhts", q.float(), cross_kv[:, :, 0].float())
        scale = self.heads[1] ** -0.5 if self.scale is None else self.scale
        weights: Tensor = (scores * scale + mask).softmax(dim=-1).mean(dim=1)
        return weights
