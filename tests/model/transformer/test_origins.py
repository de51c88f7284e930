"""A cache that follows origins shows each row the K and V that one with copies does, through joins, beams and moves."""

from dataclasses import dataclass
from random import Random

import pytest
import torch
from torch import Tensor

from model.transformer.kv_cache import KVCache, KVView
from tests.support.pairs import CPU, Pair

MAX_ROWS, MAX_TOKENS, MAX_SOURCE = 13, 24, 6


@dataclass(eq=False)
class Sequence:
    """Its beams have slots that need not be neighbours, and as many tokens in the cache."""

    slots: list[int]
    num_tokens: int = 0


class Both:
    """Two caches under the same changes, as a running batch makes them."""

    def __init__(self, pair: Pair, random: Random) -> None:
        sizes = {"max_rows": MAX_ROWS, "max_target_tokens": MAX_TOKENS, "max_source_tokens": MAX_SOURCE}
        options = {"dtype": torch.float32, "device": CPU, **sizes}
        self.caches = [KVCache(pair.checkpoint.config, **options, follows_origins=each) for each in (True, False)]
        self.random = random
        self.generator = torch.Generator().manual_seed(random.randrange(2**32))
        self.sequences: list[Sequence] = []

    @property
    def num_rows(self) -> int:
        return sum(len(sequence.slots) for sequence in self.sequences)

    def views(self, start: int = 0, stop: int | None = None) -> list[KVView]:
        size = {"self_tokens": MAX_TOKENS, "source_tokens": MAX_SOURCE}
        return [cache.view(start, self.num_rows if stop is None else stop, **size) for cache in self.caches]

    def random_kv(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator)

    def join(self, num_beams: int) -> None:
        """With a prefilled prompt of some tokens in the rows' own slots."""
        start, prompt = self.num_rows, self.random.randint(0, 3)
        self.sequences.append(Sequence(list(range(start, start + num_beams)), prompt))
        cross_kv = self.random_kv(self.views(0, 2)[0].cross_kv)
        sources = torch.full((num_beams,), self.random.randint(0, 1))
        prompt_kv = self.random_kv(self.views(0, num_beams)[0].self_kv[:, :, :prompt])
        for cache, view in zip(self.caches, self.views(start, start + num_beams), strict=True):
            cache.write_cross(start, cross_kv, sources)
            view.self_kv[:, :, :prompt] = prompt_kv

    def write_tokens(self) -> None:
        """Each row's next token to its own slot, as a step does."""
        following, copying = self.views()
        assert following.origins is not None
        for sequence in self.sequences:
            for slot in sequence.slots:
                kv = self.random_kv(copying.self_kv[:, slot, sequence.num_tokens])
                for view in (following, copying):
                    view.self_kv[:, slot, sequence.num_tokens] = kv
                following.origins[slot, sequence.num_tokens] = slot
            sequence.num_tokens += 1

    def reorder(self) -> None:
        """Some beams of each sequence become those of others."""
        copies: list[tuple[int, int]] = []
        for sequence in self.sequences:
            shuffled = self.random.sample(sequence.slots, len(sequence.slots))
            count = self.random.randint(0, len(shuffled) - 1)
            copies += [(target, self.random.choice(shuffled[count:])) for target in shuffled[:count]]
        targets, sources = ([copy[side] for copy in copies] for side in (0, 1))
        longest = max(sequence.num_tokens for sequence in self.sequences)
        for cache in self.caches:
            cache.reorder(targets, sources, self_tokens=longest)

    def leave(self, leaving: Sequence) -> None:
        """From the last on down, the last row moves into the place of each that leaves."""
        num_rows = self.num_rows
        self.sequences.remove(leaving)
        for slot in sorted(leaving.slots, reverse=True):
            num_rows -= 1
            for sequence in self.sequences:
                if num_rows in sequence.slots:
                    for cache in self.caches:
                        cache.move(num_rows, slot, self_tokens=sequence.num_tokens, source_tokens=MAX_SOURCE)
                    sequence.slots[sequence.slots.index(num_rows)] = slot

    def assert_equal(self) -> None:
        following, copying = self.views()
        assert following.origins is not None
        assert copying.origins is None
        assert torch.equal(following.cross_kv, copying.cross_kv)
        for sequence in self.sequences:
            places = torch.arange(sequence.num_tokens)
            for slot in sequence.slots:
                origins = following.origins[slot, places].long()
                assert set(origins.tolist()) <= set(sequence.slots)
                assert torch.equal(following.self_kv[:, origins, places], copying.self_kv[:, slot, places])


@pytest.mark.parametrize("seed", range(6))
def test_rows_see_the_same_by_origins_as_by_copies(m2m100: Pair, seed: int) -> None:
    random = Random(seed)
    both = Both(m2m100, random)
    num_left = 0
    for _ in range(60):
        while (free := MAX_ROWS - both.num_rows) and (random.random() < 0.4 or not both.sequences):
            both.join(random.randint(1, min(free, 5)))
        both.write_tokens()
        both.reorder()
        both.assert_equal()
        for sequence in list(both.sequences):
            if sequence.num_tokens == MAX_TOKENS or random.random() < 0.15:
                both.leave(sequence)
                num_left += 1
        both.assert_equal()
    assert num_left > 20


def test_view_from_another_slot_than_the_first_has_no_origins(m2m100: Pair) -> None:
    both = Both(m2m100, Random(0))
    both.join(3)
    assert both.views(0, 3)[0].origins is not None
    assert both.views(1, 3)[0].origins is None
