"""With indirection each row sees the K, V, K' and V' that it has with copies, through entries, beams and moves."""

from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor

from model.transformer.kv_cache import KVCache, KVView, RowMove, RowsOfSource
from tests.support.pairs import CPU, Pair

MAX_ROWS, MAX_TOKENS, MAX_SOURCE = 13, 24, 6


@dataclass(eq=False)
class Decode:
    """Its beams have slots that need not be neighbours, and as many tokens in the cache."""

    slots: list[int]
    num_tokens: int = 0


class Both:
    """Two caches under the same changes, as a running batch makes them."""

    def __init__(self, pair: Pair, random: Random) -> None:
        sizes = {"max_rows": MAX_ROWS, "max_target_tokens": MAX_TOKENS, "max_source_tokens": MAX_SOURCE}
        options: dict[str, Any] = {"dtype": torch.float32, "device": CPU, **sizes}
        self.caches = [KVCache(pair.checkpoint.config, **options, has_indirection=each) for each in (True, False)]
        self.random = random
        self.generator = torch.Generator().manual_seed(random.randrange(2**32))
        self.decodes: list[Decode] = []

    @property
    def num_rows(self) -> int:
        return sum(len(decode.slots) for decode in self.decodes)

    def views(self, start: int = 0, stop: int | None = None) -> list[KVView]:
        size = {"self_tokens": MAX_TOKENS, "source_tokens": MAX_SOURCE}
        return [cache.view(start, self.num_rows if stop is None else stop, **size) for cache in self.caches]

    def random_kv(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator)

    def add(self, num_beams: int) -> None:
        """With a prefilled prompt of some tokens, which the beams share or have copies of."""
        start, prompt = self.num_rows, self.random.randint(0, 3)
        self.decodes.append(Decode(list(range(start, start + num_beams)), prompt))
        cross_kv = self.random_kv(self.views(0, 2)[0].cross_kv)
        rows = [RowsOfSource(self.random.randint(0, 1), num_beams)]
        following, copying = self.views(start, start + num_beams)
        for cache in self.caches:
            cache.write_cross(start, cross_kv, rows)
        prompt_kv = self.random_kv(following.self_kv[:, :1, :prompt])
        following.self_kv[:, :1, :prompt] = prompt_kv
        self.caches[0].share(start, start + num_beams, self_tokens=prompt)
        copying.self_kv[:, :, :prompt] = prompt_kv

    def write_tokens(self) -> None:
        """Each row's next token to its own slot, as a step does."""
        following, copying = self.views()
        assert following.indirection is not None
        for decode in self.decodes:
            for slot in decode.slots:
                kv = self.random_kv(copying.self_kv[:, slot, decode.num_tokens])
                for view in (following, copying):
                    view.self_kv[:, slot, decode.num_tokens] = kv
                following.indirection[slot, decode.num_tokens] = slot
            decode.num_tokens += 1

    def reorder(self) -> None:
        """Some beams of each decode become those of others."""
        copies: list[tuple[int, int]] = []
        for decode in self.decodes:
            shuffled = self.random.sample(decode.slots, len(decode.slots))
            count = self.random.randint(0, len(shuffled) - 1)
            copies += [(target, self.random.choice(shuffled[count:])) for target in shuffled[:count]]
        targets, sources = ([copy[side] for copy in copies] for side in (0, 1))
        longest = max(decode.num_tokens for decode in self.decodes)
        for cache in self.caches:
            cache.reorder(targets, sources, self_tokens=longest)

    def leave(self, leaving: list[Decode]) -> None:
        """The last rows move into the gaps."""
        freed = {slot for decode in leaving for slot in decode.slots}
        self.decodes = [decode for decode in self.decodes if decode not in leaving]
        gaps = [slot for slot in range(self.num_rows) if slot in freed]
        moves: list[RowMove] = []
        for decode in self.decodes:
            for index, slot in enumerate(decode.slots):
                if slot >= self.num_rows:
                    decode.slots[index] = gaps.pop()
                    moves.append(RowMove(slot, decode.slots[index], decode.num_tokens, MAX_SOURCE))
        for cache in self.caches:
            cache.move(moves)

    def assert_equal(self) -> None:
        following, copying = self.views()
        assert following.indirection is not None
        assert copying.indirection is None
        assert following.cross_slots is not None
        cross_slots = following.cross_slots[: self.num_rows].long()
        assert torch.equal(following.cross_kv[:, cross_slots], copying.cross_kv)
        for decode in self.decodes:
            assert len(set(cross_slots[decode.slots].tolist())) == 1, "beams share one K' and V'"
            places = torch.arange(decode.num_tokens)
            for slot in decode.slots:
                slots = following.indirection[slot, places].long()
                assert set(slots.tolist()) <= set(decode.slots)
                assert torch.equal(following.self_kv[:, slots, places], copying.self_kv[:, slot, places])


@pytest.mark.parametrize("seed", range(6))
def test_rows_see_the_same_by_indirection_as_by_copies(m2m100: Pair, seed: int) -> None:
    random = Random(seed)
    both = Both(m2m100, random)
    num_left = 0
    for _ in range(60):
        while (free := MAX_ROWS - both.num_rows) and (random.random() < 0.4 or not both.decodes):
            both.add(random.randint(1, min(free, 5)))
        both.write_tokens()
        both.reorder()
        both.assert_equal()
        leaving = [each for each in both.decodes if each.num_tokens == MAX_TOKENS or random.random() < 0.15]
        both.leave(leaving)
        num_left += len(leaving)
        both.assert_equal()
    assert num_left > 20


def test_view_from_another_slot_than_the_first_has_no_indirection(m2m100: Pair) -> None:
    both = Both(m2m100, Random(0))
    both.add(3)
    assert both.views(0, 3)[0].indirection is not None
    assert both.views(1, 3)[0].indirection is None
