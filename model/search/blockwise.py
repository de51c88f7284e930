"""Blockwise top-k: find the largest of many columns through the maximum of each block of columns.

On CPU a reduction to values is about ten times as fast as a reduction to indices or a top-k. So blocks are reduced to
values, and only blocks that can matter are searched. The results equal those of a search of all columns.
Shapes: B rows, N columns, C blocks.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.kernels import bindings, libraries

_BLOCK = bindings.PANEL


@dataclass(frozen=True, slots=True)
class TopK:
    """The k best columns of G groups of rows, best first. All tensors are [G, k]."""

    values: Tensor
    members: Tensor
    """The index of the row in its group."""
    columns: Tensor


@dataclass(frozen=True, slots=True)
class BlockwiseScores:
    scores: Tensor
    """[B, N]"""
    maxima: Tensor
    """[B, C]: the maximum of each block."""

    @classmethod
    def of(cls, scores: Tensor) -> "BlockwiseScores":
        num_columns = scores.shape[1]
        whole = num_columns - num_columns % _BLOCK
        maxima = scores[:, :whole].reshape(len(scores), whole // _BLOCK, _BLOCK).amax(dim=2)
        if whole < num_columns:
            maxima = torch.cat([maxima, scores[:, whole:].amax(dim=1, keepdim=True)], dim=1)
        return cls(scores, maxima)

    def lowered(self, blocks: Tensor) -> "BlockwiseScores":
        """After scores in these blocks [n] were lowered in place."""
        values = self.scores[:, self._columns(blocks).clamp_(max=self.scores.shape[1] - 1)]
        return BlockwiseScores(self.scores, self.maxima.index_copy(1, blocks, values.amax(dim=2)))

    def first_argmax(self) -> Tensor:
        """[B] int64: the first column with the row's maximum."""
        columns = self._columns(self.maxima.argmax(dim=1))
        columns.clamp_(max=self.scores.shape[1] - 1)  # the last column is repeated past the end; its first place wins
        places = self.scores.gather(1, columns).argmax(dim=1, keepdim=True)
        return columns.gather(1, places)[:, 0]

    def top_k_of_groups(self, rows: Tensor, normalizers: Tensor, added: Tensor, k: int) -> TopK:
        """The k largest of (`scores` - `normalizers`) + `added` over the rows [G, n] of each group; both are [G, n].

        Rounding is monotonic, so the k largest are in the k blocks with the largest maxima. Of equal values our kernels
        take the first row's first column; torch takes any. If a value is NaN, the first is NaN.
        """
        if has_kernels(self.scores):
            return TopK(*bindings.top_k_of_groups(self.scores, self.maxima, rows, normalizers, added, k=k))
        num_groups, num_columns = len(rows), self.scores.shape[1]
        maxima = (self.maxima[rows] - normalizers[:, :, None]).add_(added[:, :, None])  # [G, n, C]
        num_blocks = maxima.shape[2]
        best = maxima.flatten(1).topk(min(k, maxima[0].numel()), dim=1).indices  # [G, k]
        members, columns = best // num_blocks, self._columns(best % num_blocks)  # [G, k], [G, k, _BLOCK]
        values = self.scores[rows.gather(1, members)[:, :, None], columns.clamp(max=num_columns - 1)]
        values = values.sub_(normalizers.gather(1, members)[:, :, None]).add_(added.gather(1, members)[:, :, None])
        values.masked_fill_(columns >= num_columns, -torch.inf)
        top = values.flatten(1).topk(k, dim=1)
        return TopK(
            values=top.values,
            members=members.gather(1, top.indices // _BLOCK),
            columns=columns.view(num_groups, -1).gather(1, top.indices).clamp_(max=num_columns - 1),
        )

    def _columns(self, blocks: Tensor) -> Tensor:
        """[...] -> [..., _BLOCK]; the last block may reach beyond the last column."""
        return blocks[..., None] * _BLOCK + torch.arange(_BLOCK, device=blocks.device)


@dataclass(frozen=True, slots=True)
class Choices:
    """The candidates of each row: scores, and the normalizers that turn them into log-probabilities."""

    blockwise: BlockwiseScores
    token_ids: Tensor
    """[B] int64: the first column with the row's maximum."""
    largest: Tensor
    """[B]: the scores of these."""
    normalizers: Tensor
    """[B], subtracted from scores: log(sum(exp(scores))), or zeros if the scores are log-probabilities already."""

    @property
    def scores(self) -> Tensor:
        return self.blockwise.scores

    @classmethod
    def among(cls, blockwise: BlockwiseScores, normalizers: Tensor) -> "Choices":
        """The choices of these scores, with given normalizers."""
        return cls(blockwise, blockwise.first_argmax(), blockwise.maxima.amax(dim=1), normalizers)

    @classmethod
    def of(cls, logits: Tensor) -> "Choices":
        """The choices of logits [B, N] float32."""
        if has_kernels(logits):
            token_ids, largest, normalizers, maxima = bindings.choose(logits)
            return cls(BlockwiseScores(logits, maxima), token_ids, largest, normalizers)
        return cls.among(BlockwiseScores.of(logits), logits.logsumexp(dim=1))

    @classmethod
    def of_logprobs(cls, logprobs: Tensor) -> "Choices":
        """The choices of log-probabilities [B, N], or of numbers that stand in for them."""
        return cls.among(BlockwiseScores.of(logprobs), torch.zeros(len(logprobs), device=logprobs.device))

    def lowered(self, blocks: Tensor) -> "Choices":
        """After scores in these blocks [n] were lowered in place. The normalizers stay."""
        return Choices.among(self.blockwise.lowered(blocks), self.normalizers)

    def logprobs(self, rows: Tensor, token_ids: Tensor) -> Tensor:
        """The log-probabilities of tokens [...] in rows [...]."""
        return self.scores[rows, token_ids] - self.normalizers[rows]


def blocks_of(columns: Tensor) -> Tensor:
    """The blocks of these columns [n], each once."""
    blocks: Tensor = torch.unique(columns // _BLOCK)
    return blocks


def has_kernels(scores: Tensor) -> bool:
    return scores.device.type == "cpu" and libraries.is_available()


def first_argmax(scores: Tensor) -> Tensor:
    """[B, N] -> [B] int64: the first column with the row's maximum."""
    return BlockwiseScores.of(scores).first_argmax()
