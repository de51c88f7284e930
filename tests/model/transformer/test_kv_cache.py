"""Slots: views show writes, rows share sources, and a moved row decodes as before."""

from collections.abc import Callable

import pytest
import torch

from model.transformer.kv_cache import KVCache, KVView, RowMove, RowsOfSource
from tests.support.pairs import CPU, Pair, padded, prompts_of, random_sources


def make_cache(pair: Pair, *, max_rows: int = 4, has_indirection: bool = False) -> KVCache:
    return KVCache(
        pair.checkpoint.config,
        max_rows=max_rows,
        max_target_tokens=20,
        max_source_tokens=40,
        dtype=torch.float32,
        device=CPU,
        has_indirection=has_indirection,
    )


def test_cache_bytes_are_rows_times_bytes_per_row(m2m100: Pair) -> None:
    cache = make_cache(m2m100, max_rows=6)
    per_row = KVCache.bytes_per_row(
        m2m100.checkpoint.config, max_target_tokens=20, max_source_tokens=40, dtype=torch.float32
    )
    assert cache.num_bytes == 6 * per_row


def test_view_is_the_cache_and_not_a_copy(m2m100: Pair) -> None:
    cache = make_cache(m2m100)
    cache.view(1, 3, self_tokens=5, source_tokens=7).self_kv.fill_(1.0)
    whole = cache.view(0, 4, self_tokens=20, source_tokens=40)
    assert whole.self_kv[:, 1:3, :5].eq(1).all()
    assert whole.self_kv.sum() == cache.view(1, 3, self_tokens=5, source_tokens=7).self_kv.numel()


@pytest.mark.parametrize(("stop", "self_tokens", "source_tokens"), [(5, 1, 1), (4, 21, 1), (4, 1, 41)])
def test_view_beyond_the_cache_is_refused(m2m100: Pair, stop: int, self_tokens: int, source_tokens: int) -> None:
    with pytest.raises(RuntimeError):
        make_cache(m2m100).view(0, stop, self_tokens=self_tokens, source_tokens=source_tokens)


def test_rows_share_one_computed_source(m2m100: Pair) -> None:
    cache = make_cache(m2m100)
    input_ids, lengths = padded(random_sources(m2m100, 2, seed=1), m2m100)
    with torch.inference_mode():
        cross_kv = m2m100.ours.cross_kv(m2m100.ours.encode(input_ids, lengths))
        cache.write_cross(1, cross_kv, [RowsOfSource(0, 1), RowsOfSource(1, 1), RowsOfSource(0, 1)])
    view = cache.view(0, 4, self_tokens=1, source_tokens=input_ids.shape[1]).cross_kv
    assert view[:, 0].eq(0).all()
    for slot, source in ((1, 0), (2, 1), (3, 0)):
        assert torch.equal(view[:, slot], cross_kv[:, source])


def test_moved_row_decodes_as_it_would_have(pair: Pair) -> None:
    stayed, moved = (decode_last_row(pair, relocate) for relocate in (lambda _cache, _length: 2, move_to_first))
    assert torch.equal(stayed, moved)


def move_to_first(cache: KVCache, source_length: int) -> int:
    cache.move([RowMove(2, 0, self_tokens=6, source_tokens=source_length)])
    cache.view(1, 4, self_tokens=20, source_tokens=40).self_kv.fill_(1e3)  # what others leave behind is not seen
    return 0


@torch.inference_mode()
def decode_last_row(pair: Pair, relocate: Callable[[KVCache, int], int]) -> torch.Tensor:
    """Decode six tokens in slots 0..2, relocate the last row, and decode one more of it."""
    cache = make_cache(pair)
    input_ids, lengths = padded(random_sources(pair, 3, seed=2), pair)
    cache.write_cross(0, pair.ours.cross_kv(pair.ours.encode(input_ids, lengths)))
    prompts = torch.tensor(prompts_of(pair, 3))
    targets = torch.cat([prompts, torch.arange(10, 28).view(3, 6)], dim=1)[:, :6]
    view = cache.view(0, 3, self_tokens=6, source_tokens=input_ids.shape[1])
    pair.ours.decode(targets, torch.zeros(3, dtype=torch.int64), lengths, view)
    slot = relocate(cache, int(lengths[2]))
    view = cache.view(slot, slot + 1, self_tokens=7, source_tokens=int(lengths[2]))
    return pair.ours.decode_step(torch.tensor([42]), torch.tensor([6]), lengths[2:], view)


def test_reordered_rows_are_read_before_any_is_written(m2m100: Pair) -> None:
    cache = make_cache(m2m100)
    whole = cache.view(0, 4, self_tokens=20, source_tokens=40).self_kv
    whole.copy_(torch.randn(whole.shape, generator=torch.Generator().manual_seed(0)))
    before = whole.clone()
    cache.reorder([0, 1, 3], [1, 0, 1], self_tokens=6)
    assert torch.equal(whole[:, :, :6], before[:, [1, 0, 2, 1], :6])
    assert torch.equal(whole[:, :, 6:], before[:, :, 6:])
    cache.reorder([], [], self_tokens=6)


def test_reordering_beyond_the_cache_is_refused(m2m100: Pair) -> None:
    with pytest.raises((RuntimeError, IndexError)):
        make_cache(m2m100).reorder([0], [4], self_tokens=6)


def test_slots_refer_to_themselves_again_once_the_rows_that_shared_them_have_left(m2m100: Pair) -> None:
    cache = make_cache(m2m100, has_indirection=True)
    cache.begin(0, [RowsOfSource(0, 3), RowsOfSource(1, 1)])
    cache.share(0, 3, self_tokens=2)
    view = cache.view(0, 4, self_tokens=2, source_tokens=1)
    assert slots_of(view) == ([0, 0, 0, 3], [0, 0, 0, 3])
    cache.move([RowMove(3, 0, self_tokens=2, source_tokens=1)])  # the beam has left
    cache.begin(1, [RowsOfSource(0, 1)])
    assert slots_of(view)[0][:2] == [0, 1]
    assert slots_of(view)[1][:2] == [0, 1]
    cache.begin(0, [RowsOfSource(0, 1)])
    cache.begin(1, [RowsOfSource(index, 1) for index in range(3)])
    assert slots_of(view) == ([0, 1, 2, 3], [0, 1, 2, 3])


def slots_of(view: KVView) -> tuple[list[int], list[int]]:
    """The slots with the first token and with the source of each row."""
    assert view.indirection is not None
    assert view.cross_slots is not None
    return view.indirection[:, 0].tolist(), view.cross_slots.tolist()
