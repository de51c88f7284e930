"""The parts of a step that depend on each row's length or state, in plain torch: the reference of `triton_kernels`.

Shapes alone decide the work, so a step of them can be recorded. They read the whole caches and mask them.
Shapes: B rows, R rows of the caches, T (S) target (source) tokens, H heads, d head size, N vocabulary, C steps.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

FORBIDDEN, FORBIDDEN_IF_SHORT = 1, 2
"""Bits of `StepRules.flags`."""


@dataclass(frozen=True, slots=True)
class StepRules:
    """The tokens that no greedy step of a checkpoint chooses."""

    flags: Tensor
    """[N] uint8, with the bits above"""
    min_length: int
    """A row with fewer tokens than this is short; the prompt counts."""

    @classmethod
    def of(cls, forbidden: Tensor, forbidden_if_short: Tensor, *, vocab_size: int, min_length: int) -> "StepRules":
        """The rules for token ids [F] and [F']."""
        flags = torch.zeros(vocab_size, dtype=torch.uint8, device=forbidden.device)
        flags[forbidden_if_short] = FORBIDDEN_IF_SHORT
        flags[forbidden] = FORBIDDEN | FORBIDDEN_IF_SHORT
        return cls(flags, min_length)


@dataclass(frozen=True, slots=True)
class StepState:
    """The state of B rows, as views of static memory: a step reads it and replaces it with that of the next step."""

    token_ids: Tensor
    """[B] int64: the last tokens, which are not in the caches yet"""
    positions: Tensor
    """[B] int64: their places in the self cache"""
    source_lengths: Tensor
    """[B] int64, at least 1"""
    places: Tensor
    """[B] int64: where the step writes its results"""
    chosen: Tensor
    """[C, R] int32: the tokens of earlier steps"""
    logprobs: Tensor
    """[C, R] float32"""
    last_position: int
    """Where positions stop: rows that have ended or left step along to the end of a turn, within their own caches."""


class StepKernels(Protocol):
    def self_attention(
        self, qkv: Tensor, kv: Tensor, positions: Tensor, bias: Tensor | None, *, scale: float
    ) -> Tensor:
        """Map qkv [B, 3, H, d] to heads side by side [B, H * d].

        Writes K and V to the layer's cache `kv` [B, T, 2, H, d] at `positions` [B], and attends up to there. `bias`
        [H, P] by distance is added to the scores.
        """

    def cross_attention(self, q: Tensor, kv: Tensor, source_lengths: Tensor, *, scale: float) -> Tensor:
        """Map q [B, H, d] to [B, H * d], over the first `source_lengths` [B] tokens of `kv` [B, S, 2, H, d]."""

    def choose(self, logits: Tensor, rules: StepRules, state: StepState) -> None:
        """Take the most probable token of logits [B, N] that the rules allow, the first one of equals, into `state`.

        Its log-probability is that of the model, before any rule; it is NaN if a logit is.
        """


class TorchKernels:
    """See `StepKernels`."""

    def self_attention(
        self, qkv: Tensor, kv: Tensor, positions: Tensor, bias: Tensor | None, *, scale: float
    ) -> Tensor:
        rows = torch.arange(len(qkv), device=qkv.device)
        kv.index_put_((rows, positions), qkv[:, 1:])
        distances = positions[:, None] - torch.arange(kv.shape[1], device=qkv.device)  # [B, T]
        added = None if bias is None else bias[:, distances.clamp(min=0)].transpose(0, 1)
        return _attend(qkv[:, 0], kv, distances < 0, added, scale)

    def cross_attention(self, q: Tensor, kv: Tensor, source_lengths: Tensor, *, scale: float) -> Tensor:
        columns = torch.arange(kv.shape[1], device=q.device)
        return _attend(q, kv, columns >= source_lengths[:, None], None, scale)

    def choose(self, logits: Tensor, rules: StepRules, state: StepState) -> None:
        scores = logits.float()
        is_short = state.positions + 1 < rules.min_length
        bits = torch.where(is_short, FORBIDDEN_IF_SHORT, FORBIDDEN).to(torch.uint8)
        ruled = scores.masked_fill((rules.flags & bits[:, None]) != 0, -torch.inf)
        token_ids = ruled.argmax(dim=1)
        logprobs = scores.gather(1, token_ids[:, None])[:, 0] - scores.logsumexp(dim=1)
        rows = torch.arange(len(logits), device=logits.device)
        state.chosen.index_put_((state.places, rows), token_ids.int())
        state.logprobs.index_put_((state.places, rows), logprobs)
        state.token_ids.copy_(token_ids)
        state.positions.add_(1).clamp_(max=state.last_position)
        state.places.add_(1).clamp_(max=len(state.chosen) - 1)


def _attend(q: Tensor, kv: Tensor, is_hidden: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    """Map q [B, H, d], kv [B, C, 2, H, d], is_hidden [B, C], bias [B, H, C] to [B, H * d]. A row sees some token."""
    added = torch.zeros((), dtype=q.dtype, device=q.device) if bias is None else bias.to(q.dtype)
    mask = torch.where(is_hidden[:, None], -torch.inf, added)
    k, v = kv.transpose(1, 3).unbind(2)  # [B, H, C, d] each
    heads = F.scaled_dot_product_attention(q[:, :, None], k, v, attn_mask=mask[:, :, None], scale=scale)
    return heads.flatten(1)
