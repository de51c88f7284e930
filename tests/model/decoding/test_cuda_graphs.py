"""A step at static shapes is the step itself; a recording that is called again stands in for a CUDA graph."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model.decoding.cuda_graphs import Bucket, GraphedStep
from model.transformer.kv_cache import KVCache
from model.transformer.transformer import Transformer
from tests.support.pairs import CPU, Pair

MAX_ROWS, MAX_TARGET, MAX_SOURCE = 6, 40, 24


class Recorder:
    """Replays into one output, as a graph does, and counts."""

    def __init__(self) -> None:
        self.num_recorded = 0

    def __call__(self, function: Callable[[], Tensor]) -> Callable[[], Tensor]:
        self.num_recorded += 1
        output = function()
        return lambda: output.copy_(function())


def make_cache(transformer: Transformer) -> KVCache:
    cache = KVCache(
        transformer.config,
        max_rows=MAX_ROWS,
        max_target_tokens=MAX_TARGET,
        max_source_tokens=MAX_SOURCE,
        dtype=torch.float32,
        device=CPU,
    )
    generator = torch.Generator().manual_seed(0)
    view = cache.view(0, MAX_ROWS, self_tokens=MAX_TARGET, source_tokens=MAX_SOURCE)
    for tensor in (view.self_kv, view.cross_kv):
        tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return cache


@torch.inference_mode()
def test_graphed_steps_equal_plain_ones_as_rows_come_and_go(pair: Pair) -> None:
    transformer, recorder = pair.ours, Recorder()
    plain, cache = make_cache(transformer), make_cache(transformer)
    graphed = GraphedStep(transformer, cache, recorder)
    whole = {"self_tokens": MAX_TARGET, "source_tokens": MAX_SOURCE}
    generator = torch.Generator().manual_seed(1)
    lengths = torch.tensor([3, 24, 7, 1, 12, 18])
    for step, num_rows in enumerate([1, 2, 5, 6, 6, 3, 4, 2, 1, 5, 6] * 3):
        token_ids = torch.randint(5, transformer.config.decoder_vocab_size, (MAX_ROWS,), generator=generator)
        positions = torch.arange(MAX_ROWS) + step
        state = torch.stack([token_ids, positions, lengths])[:, :num_rows]
        cache.view(0, MAX_ROWS, **whole).self_kv.copy_(plain.view(0, MAX_ROWS, **whole).self_kv)  # as rows enter
        sizes = {"self_tokens": int(state[1].max()) + 1, "source_tokens": int(state[2].max())}
        last_ids, places, source_lengths = state
        expected = transformer.decode_step(last_ids, places, source_lengths, plain.view(0, num_rows, **sizes))
        torch.testing.assert_close(graphed(state, **sizes), expected, rtol=1e-4, atol=1e-4)
    assert recorder.num_recorded < 20


@pytest.mark.parametrize(
    ("sizes", "bucket"),
    [
        ((1, 1, 1), Bucket(1, 16, 16)),
        ((3, 16, 17), Bucket(4, 16, 24)),
        ((5, 17, 24), Bucket(6, 32, 24)),
        ((6, 33, 2), Bucket(6, 40, 16)),
    ],
)
def test_bucket_is_the_smallest_that_holds_the_batch(
    bundled: Pair, sizes: tuple[int, int, int], bucket: Bucket
) -> None:
    graphed = GraphedStep(bundled.ours, make_cache(bundled.ours), Recorder())
    assert graphed.bucket(*sizes) == bucket
