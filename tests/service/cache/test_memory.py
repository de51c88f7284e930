"""Laws: never more bytes than allowed, the least recently used goes first, and nothing is given after its time."""

import random

from service.cache.memory import ENTRY_OVERHEAD_BYTES, MemoryTier

OUTPUT = b"x" * 100
ENTRY_BYTES = len(b"a") + len(OUTPUT) + ENTRY_OVERHEAD_BYTES


def tier_of(num_entries: int, *, ttl_seconds: float = 60) -> MemoryTier:
    return MemoryTier(max_bytes=num_entries * ENTRY_BYTES, ttl_seconds=ttl_seconds)


def test_an_output_is_given_back_as_it_was_put():
    tier = tier_of(1)
    tier.put(b"a", OUTPUT, now=0)
    assert tier.get(b"a", now=1) == OUTPUT
    assert tier.get(b"b", now=1) is None


def test_the_least_recently_used_output_makes_room():
    tier = tier_of(3)
    for key in (b"a", b"b", b"c"):
        tier.put(key, OUTPUT, now=0)
    tier.get(b"a", now=1)
    tier.put(b"d", OUTPUT, now=2)
    assert [key for key in (b"a", b"b", b"c", b"d") if tier.get(key, now=3)] == [b"a", b"c", b"d"]


def test_an_output_leaves_when_its_time_is_over():
    tier = tier_of(1, ttl_seconds=10)
    tier.put(b"a", OUTPUT, now=5)
    assert tier.get(b"a", now=14.9) == OUTPUT
    assert tier.get(b"a", now=15) is None
    assert tier.num_bytes == 0


def test_an_output_put_again_replaces_the_old_and_lives_anew():
    tier = tier_of(2, ttl_seconds=10)
    tier.put(b"a", OUTPUT, now=0)
    tier.put(b"a", b"new", now=9)
    assert tier.get(b"a", now=18) == b"new"
    assert tier.num_bytes == ENTRY_BYTES - len(OUTPUT) + len(b"new")


def test_an_output_larger_than_the_limit_is_not_kept_and_drives_nothing_out():
    tier = tier_of(2)
    tier.put(b"a", OUTPUT, now=0)
    tier.put(b"b", OUTPUT * 10, now=0)
    assert tier.get(b"b", now=0) is None
    assert tier.get(b"a", now=0) == OUTPUT


def test_no_bytes_keep_nothing():
    tier = MemoryTier(max_bytes=0, ttl_seconds=60)
    tier.put(b"a", b"", now=0)
    assert tier.get(b"a", now=0) is None
    assert tier.num_bytes == 0


def test_the_bytes_held_stay_within_the_limit_and_are_counted_right():
    chance = random.Random(5)
    tier = MemoryTier(max_bytes=5_000, ttl_seconds=20)
    for now in range(2_000):
        key = bytes([chance.randrange(30)])
        if chance.random() < 0.5:
            tier.put(key, bytes(chance.randrange(1_500)), now=now)
        else:
            tier.get(key, now=now)
        assert 0 <= tier.num_bytes <= 5_000
    held = [output for each in range(30) if (output := tier.get(bytes([each]), now=2_000)) is not None]
    assert held
    assert tier.num_bytes == sum(len(output) + 1 + ENTRY_OVERHEAD_BYTES for output in held)
