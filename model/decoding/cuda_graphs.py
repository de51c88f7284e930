"""`decode_step` at a few static shapes, recorded once a shape and then replayed: on CUDA a graph, one launch a step.

A batch uses the smallest bucket that holds it: rows, tokens of the self cache and source tokens are rounded up to
powers of two, within the size of the caches. The added rows are free slots: nothing reads them, and a new row
overwrites them. The added tokens are masked.
Shapes: B rows of the batch, R rows of the caches, N target vocabulary.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from model.transformer.kv_cache import KVCache
from model.transformer.transformer import Transformer

_FEWEST_TOKENS = 16
_NUM_WARM_UPS = 3
"""Steps before a capture, which PyTorch requires: libraries allocate and choose their kernels on first use."""

Replay = Callable[[], Tensor]
Record = Callable[[Callable[[], Tensor]], Replay]
"""Record a function of static shapes; the returned replay repeats its work on the same memory."""


class Bucket(NamedTuple):
    rows: int
    self_tokens: int
    source_tokens: int


class GraphedStep:
    def __init__(self, transformer: Transformer, cache: KVCache, record: Record) -> None:
        self._transformer = transformer
        self._cache = cache
        self._record = record
        self._state = torch.zeros((3, cache.max_rows), dtype=torch.int64, device=transformer.device)
        self._replays: dict[Bucket, Replay] = {}

    def __call__(self, state: Tensor, *, self_tokens: int, source_tokens: int) -> Tensor:
        """`state` [3, B] on the host: last token ids, positions and source lengths -> logits [B, N].

        The logits are overwritten by the next step.
        """
        num_rows = state.shape[1]
        bucket = self.bucket(num_rows, self_tokens, source_tokens)
        self._state[:, :num_rows].copy_(state, non_blocking=True)
        self._state[:2, num_rows : bucket.rows] = 0
        self._state[2, num_rows : bucket.rows] = 1  # attention over no source tokens would be NaN
        if bucket not in self._replays:
            self._replays[bucket] = self._record(lambda: self._step(bucket))
        return self._replays[bucket]()[:num_rows]

    def bucket(self, num_rows: int, self_tokens: int, source_tokens: int) -> Bucket:
        return Bucket(
            min(_power_of_two(num_rows), self._cache.max_rows),
            min(max(_power_of_two(self_tokens), _FEWEST_TOKENS), self._cache.max_target_tokens),
            min(max(_power_of_two(source_tokens), _FEWEST_TOKENS), self._cache.max_source_tokens),
        )

    def _step(self, bucket: Bucket) -> Tensor:
        input_ids, positions, source_lengths = self._state[:, : bucket.rows]
        view = self._cache.view(0, bucket.rows, self_tokens=bucket.self_tokens, source_tokens=bucket.source_tokens)
        return self._transformer.decode_step(input_ids, positions, source_lengths, view)


def cuda_graphs() -> Record:
    """Record CUDA graphs in one shared pool of memory, since no two are replayed at the same time."""
    pool = torch.cuda.graph_pool_handle()

    def record(function: Callable[[], Tensor]) -> Replay:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_NUM_WARM_UPS):
                function()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            output = function()

        def replay() -> Tensor:
            graph.replay()
            return output

        return replay

    return record


def _power_of_two(number: int) -> int:
    """The smallest power of two that is at least `number`."""
    return 1 << (number - 1).bit_length()
