"""Preallocated K and V of self-attention and K' and V' of cross-attention, by slot.

Running rows fill slots 0..n-1: new rows are appended, and rows at the end move into the gaps of rows that leave. So a
batch is a narrow view of the caches, never a gathered copy.

Cache indirection: if readers support it, a table gives the slot with K and V of every row and token. Beams then share
their common past, and reordering beams copies rows of the table instead of K and V. Another table gives the slot with
K' and V' of every row's source, which the rows of a beam search share.

Shapes: L decoder layers, R slots (B in a view), T (S) tokens of the target (source), 2 for K and V, H heads, d head
size. In this order K and V of a token are contiguous, as the projections compute them, and so are those of a row. On
CPU no other order writes or attends faster once a model's weights pass through the processor's caches in between.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from model.checkpoint.config import ModelConfig
from model.transformer.upload import upload


@dataclass(frozen=True, slots=True)
class KVView:
    """Views of the caches of one batch; writes go to the caches."""

    self_kv: Tensor
    """[L, B, T, 2, H, d]"""
    cross_kv: Tensor
    """[L, B, S, 2, H, d]"""
    indirection: Tensor | None = None
    """[B, T] int32: the slots with K and V of each row's tokens; None: the row's own. A step writes to the own slot."""
    cross_slots: Tensor | None = None
    """[B] int32: the slots with K' and V' of each row's source; None: the row's own slot."""


@dataclass(frozen=True, slots=True)
class LayerSelfKV:
    """One layer of the self cache, and the places that its rows write to."""

    kv: Tensor
    """[B, T, 2, H, d]"""
    rows: Tensor
    """[B, 1]: 0..B-1"""
    token_positions: Tensor
    """[B, T']: the place of each new token"""

    def write(self, new_kv: Tensor) -> Tensor:
        """Write K and V of the new tokens [B, T', 2, H, d] and return all [B, T, 2, H, d]."""
        self.kv.index_put_((self.rows, self.token_positions), new_kv)
        return self.kv


class RowsOfSource(NamedTuple):
    """The rows of one decode, side by side."""

    source: int
    """The index of their source among the written sources."""
    num_rows: int


class RowMove(NamedTuple):
    """A move of a row, with the numbers of tokens that it has filled, to another slot."""

    source: int
    target: int
    self_tokens: int
    source_tokens: int


class KVCache:
    """Slots for `max_rows` rows. They take their memory from the start.

    Slots keep the values of rows that have left. Readers mask them, which needs finite values, so the caches start as
    zeros.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        max_rows: int,
        max_target_tokens: int,
        max_source_tokens: int,
        dtype: torch.dtype,
        device: torch.device,
        has_indirection: bool = False,
    ) -> None:
        """`has_indirection`: whether readers follow the tables of a view."""
        self.max_rows, self.max_target_tokens, self.max_source_tokens = max_rows, max_target_tokens, max_source_tokens
        layers, heads, head_dim = config.decoder_layers, config.decoder_heads, config.decoder_head_dim
        self._self_kv = torch.zeros(
            (layers, max_rows, max_target_tokens, 2, heads, head_dim), dtype=dtype, device=device
        )
        self._cross_kv = torch.zeros(
            (layers, max_rows, max_source_tokens, 2, heads, head_dim), dtype=dtype, device=device
        )
        self._own = torch.arange(max_rows, dtype=torch.int32, device=device)[:, None]
        self._indirection = self._own.repeat(1, max_target_tokens) if has_indirection else None
        self._cross_slots = torch.arange(max_rows, dtype=torch.int32)
        """On the host, like its readers. Without indirection every slot maps to itself."""
        self._has_shared = False
        """Whether a slot may refer to another one. Only then the tables have to be written."""
        self._bytes = tuple(map(_bytes_of, (self._self_kv, self._cross_kv))) if has_indirection else None
        """The caches as arrays of bytes, [L, R, T, 2, H, ...]: NumPy copies a row in a fraction of torch's time."""

    @property
    def has_indirection(self) -> bool:
        return self._indirection is not None

    @staticmethod
    def bytes_per_row(
        config: ModelConfig, *, max_target_tokens: int, max_source_tokens: int, dtype: torch.dtype
    ) -> int:
        """The size of one slot; `num_bytes` is `max_rows` times that."""
        values_per_token = config.decoder_layers * 2 * config.decoder_heads * config.decoder_head_dim
        return values_per_token * (max_target_tokens + max_source_tokens) * dtype.itemsize

    @property
    def num_bytes(self) -> int:
        return self._self_kv.nbytes + self._cross_kv.nbytes

    def view(self, start: int, stop: int, *, self_tokens: int, source_tokens: int) -> KVView:
        """Slots start..stop-1, cut to the first `self_tokens` and `source_tokens`.

        `self_tokens` counts the tokens that this step writes. Raises RuntimeError when a slice is out of bounds.
        A view that starts past slot 0 is for rows that have just been filled. It has no indirection, so these rows
        must not refer to other slots.
        """
        return KVView(
            self_kv=self._self_kv.narrow(1, start, stop - start).narrow(2, 0, self_tokens),
            cross_kv=self._cross_kv.narrow(1, start, stop - start).narrow(2, 0, source_tokens),
            indirection=self._indirection if start == 0 else None,
            cross_slots=self._cross_slots if start == 0 and self.has_indirection else None,
        )

    def begin(self, start: int, decodes: Sequence[RowsOfSource]) -> dict[int, int]:
        """Give the slots from `start` on to new rows, which have no target tokens yet.

        Returns the source whose K' and V' belong into each slot. With indirection, they belong into the first slot of
        a decode only.
        """
        if not self.has_indirection:
            decodes = [RowsOfSource(each.source, 1) for each in decodes for _ in range(each.num_rows)]
        first_slots = list(accumulate((each.num_rows for each in decodes[:-1]), initial=start))
        if self._has_shared and start == 0:
            self._let_all_own()
        self._has_shared = self._has_shared or any(each.num_rows > 1 for each in decodes)
        if self._has_shared:
            slots = [first for first, each in zip(first_slots, decodes, strict=True) for _ in range(each.num_rows)]
            stop = start + len(slots)
            self._cross_slots[start:stop] = torch.tensor(slots, dtype=torch.int32)
            if self._indirection is not None:
                self._indirection[start:stop] = self._own[start:stop]
        return dict(zip(first_slots, (each.source for each in decodes), strict=True))

    def _let_all_own(self) -> None:
        """Let every slot refer to itself."""
        self._has_shared = False
        self._cross_slots.copy_(self._own[:, 0])
        if self._indirection is not None:
            self._indirection.copy_(self._own)

    def write_cross(self, start: int, cross_kv: Tensor, decodes: Sequence[RowsOfSource] | None = None) -> None:
        """`begin` rows and write `cross_kv` [L, B, S, 2, H, d]. Without `decodes`, a source has one row."""
        num_sources, num_tokens = cross_kv.shape[1:3]
        if decodes is None:
            decodes = [RowsOfSource(index, 1) for index in range(num_sources)]
        source_of = self.begin(start, decodes)
        slots, sources = list(source_of), list(source_of.values())
        if sources != list(range(num_sources)):
            cross_kv = cross_kv.index_select(1, upload(torch.tensor(sources), cross_kv.device))
        cross = self._cross_kv.narrow(2, 0, num_tokens)
        if slots == list(range(start, start + len(slots))):
            cross.narrow(1, start, len(slots)).copy_(cross_kv)
        else:
            cross.index_copy_(1, torch.tensor(slots, device=cross.device), cross_kv.to(cross.dtype))

    def copy_cross(self, source: int, target: int, *, source_tokens: int) -> None:
        """Copy K' and V' of a slot to another one."""
        self._cross_kv[:, target, :source_tokens].copy_(self._cross_kv[:, source, :source_tokens])

    def share(self, start: int, stop: int, *, self_tokens: int) -> None:
        """Make slots start..stop-1 share the first `self_tokens` of slot `start`. Needs indirection."""
        assert self._indirection is not None, "without indirection each row has its own tokens"
        self._has_shared = True
        self._indirection[start:stop, :self_tokens] = start

    def clear(self, slots: Sequence[int]) -> None:
        """Fill slots with zeros, because their values may not be finite."""
        index = upload(torch.tensor(slots), self._self_kv.device)
        for cache in (self._self_kv, self._cross_kv):
            cache.index_fill_(1, index, 0)

    def move(self, moves: Sequence[RowMove]) -> None:
        """Move rows to free slots. No slot is both a source and a target."""
        if not moves:
            return
        if self._bytes is None:
            self._move_all(moves)
            return
        self_kv, cross_kv = self._bytes
        cross_slots = self._cross_slots.tolist()
        for source, target, self_tokens, source_tokens in moves:
            self_kv[:, target, :self_tokens] = self_kv[:, source, :self_tokens]
            if cross_slots[source] == source:
                cross_kv[:, target, :source_tokens] = cross_kv[:, source, :source_tokens]
        if self._has_shared:
            self._redirect(moves)

    def _redirect(self, moves: Sequence[RowMove]) -> None:
        """Move the rows in the tables, and what refers to their slots."""
        sources, targets = [move.source for move in moves], [move.target for move in moves]
        slot_after = torch.arange(self.max_rows, dtype=torch.int32)
        slot_after[sources] = torch.tensor(targets, dtype=torch.int32)
        for table in (self._cross_slots, self._indirection):
            if table is not None:
                table[targets] = table[sources]
                flat = table.view(-1)
                flat.copy_(slot_after.to(table.device).index_select(0, flat))

    def _move_all(self, moves: Sequence[RowMove]) -> None:
        """Move all rows at once: on a GPU each copy is a launch, and a row would take two."""
        indices = upload(torch.tensor([(move.source, move.target) for move in moves]), self._self_kv.device)
        for cache, num_tokens in (
            (self._self_kv, max(move.self_tokens for move in moves)),
            (self._cross_kv, max(move.source_tokens for move in moves)),
        ):
            filled = cache.narrow(2, 0, num_tokens)
            filled.index_copy_(1, indices[:, 1], filled.index_select(1, indices[:, 0]))

    def reorder(self, targets: Sequence[int], sources: Sequence[int], *, self_tokens: int) -> None:
        """Copy the first `self_tokens` of the self cache from the slots `sources` to the slots `targets`.

        All are read before any is written. The two slots of a pair hold the same source text. With indirection only
        the table is copied; K and V stay where they are.
        """
        if targets:
            target_index, source_index = (
                upload(torch.tensor(slots), self._self_kv.device) for slots in (targets, sources)
            )
            if self._indirection is not None:
                self._has_shared = True
                self._indirection.index_copy_(0, target_index, self._indirection.index_select(0, source_index))
                return
            filled = self._self_kv.narrow(2, 0, self_tokens)
            filled.index_copy_(1, target_index, filled.index_select(1, source_index))


def _bytes_of(cache: Tensor) -> np.ndarray:
    """An array of the same memory."""
    return cache.view(torch.uint8).numpy()
