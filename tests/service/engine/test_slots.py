"""Law: running rows fill slots 0..n-1, whatever leaves."""

import random
from dataclasses import dataclass

import pytest

from service.engine.slots import Move, Slots


@dataclass(eq=False)
class Holder:
    slot: int | None = None


def test_slots_are_taken_in_order_until_none_is_free():
    slots = Slots[Holder](2)
    rows = [Holder(), Holder()]
    for row in rows:
        slots.take(row)
    assert [row.slot for row in rows] == [0, 1]
    with pytest.raises(AssertionError, match="free slot"):
        slots.take(Holder())


def test_release_moves_the_last_row_into_the_gap():
    slots = Slots[Holder](3)
    first, second, third = rows = [Holder(), Holder(), Holder()]
    for row in rows:
        slots.take(row)
    assert slots.release([first]) == [Move(source=2, target=0)]
    assert slots.rows == [third, second]
    assert (first.slot, third.slot, second.slot) == (None, 0, 1)


def test_moves_carry_every_staying_row_to_its_slot():
    """Any mix of taking and releasing, checked against a cache that only follows the moves."""
    chance = random.Random(7)
    slots = Slots[Holder](16)
    cache: list[Holder | None] = [None] * 16
    for _ in range(500):
        if slots.num_free and chance.random() < 0.6:
            row = Holder()
            slots.take(row)
            cache[len(slots.rows) - 1] = row
        else:
            for move in slots.release(chance.sample(slots.rows, chance.randint(0, len(slots.rows)))):
                cache[move.target] = cache[move.source]
        assert cache[: len(slots.rows)] == slots.rows
        assert [row.slot for row in slots.rows] == list(range(len(slots.rows)))
