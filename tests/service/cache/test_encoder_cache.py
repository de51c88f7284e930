"""Different sources have different keys, and every source is looked up in the right tiers."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from service.cache.encoder_cache import EncoderCache, EncoderIdentity
from service.cache.memory import ENTRY_OVERHEAD_BYTES, MemoryTier
from service.cache.observer import CacheObserver
from service.cache.values import OutputFormat, OutputKey
from tests.support.cache_recorder import CacheRecorder

FORMAT = OutputFormat("float16", 2)
IDENTITY = EncoderIdentity("f00d", "int8", FORMAT)
TOKEN_IDS = st.lists(st.integers(0, 2**32 - 1), max_size=6)


class Shelf:
    """A shared tier that keeps all in a dictionary."""

    def __init__(self) -> None:
        self.outputs: dict[OutputKey, bytes] = {}

    async def find(self, keys: Sequence[OutputKey]) -> dict[OutputKey, bytes]:
        return {key: self.outputs[key] for key in keys if key in self.outputs}

    def put(self, key: OutputKey, output: bytes) -> None:
        self.outputs[key] = output


def make_cache(
    *,
    memory: bool = True,
    shared: Shelf | None = None,
    min_memory_tokens: int = 1,
    min_shared_tokens: int = 1,
    observer: CacheObserver | None = None,
) -> EncoderCache:
    cache = EncoderCache(
        MemoryTier(max_bytes=10_000, ttl_seconds=60) if memory else None,
        shared,
        min_memory_tokens=min_memory_tokens,
        min_shared_tokens=min_shared_tokens,
        observer=observer or CacheRecorder(),
        clock=lambda: 0.0,
    )
    cache.describe({"opus": IDENTITY})
    return cache


def key_by(cache: EncoderCache, num_tokens: int) -> OutputKey:
    key = cache.wanted("opus", tuple(range(num_tokens)))
    assert key is not None
    return key


@given(TOKEN_IDS, TOKEN_IDS)
def test_two_sources_have_one_key_only_if_they_are_equal(first: list[int], second: list[int]):
    assert (IDENTITY.digest(first) == IDENTITY.digest(second)) == (first == second)


@given(st.text(max_size=4), st.text(max_size=4))
def test_what_is_joined_otherwise_has_another_key(first: str, second: str):
    moved = EncoderIdentity(f"{first}a", second, FORMAT), EncoderIdentity(first, f"a{second}", FORMAT)  # type: ignore[arg-type]
    assert moved[0].digest([5]) != moved[1].digest([5])


def test_another_checkpoint_or_compute_type_has_another_key():
    others = [EncoderIdentity("f00e", "int8", FORMAT), EncoderIdentity("f00d", "float32", FORMAT)]
    assert len({each.digest([1, 2]) for each in [IDENTITY, *others]}) == 3
    assert len(IDENTITY.digest([1, 2])) == 32


async def test_each_tier_takes_sources_from_its_own_length_on():
    shared = Shelf()
    cache = make_cache(shared=shared, min_memory_tokens=2, min_shared_tokens=4)
    assert cache.wanted("opus", (7,)) is None
    short, long = key_by(cache, 2), key_by(cache, 4)
    assert (cache.is_shared(short), cache.is_shared(long)) == (False, True)
    assert cache.min_tokens == 2
    for key in (short, long):
        cache.keep(key, bytes(key.num_bytes))
        assert cache.find(key) == bytes(key.num_bytes)


async def test_what_the_shared_tier_had_is_in_memory_from_then_on():
    shared = Shelf()
    cache = make_cache(shared=shared)
    key = key_by(cache, 3)
    assert cache.find(key) is None
    cache.share(key, output := bytes(range(key.num_bytes)))
    assert cache.find(key) is None
    assert await cache.find_shared([key, key_by(cache, 2)]) == {key: output}
    assert cache.find(key) == output


def test_an_output_of_another_size_is_not_kept():
    cache = make_cache()
    key = key_by(cache, 3)
    cache.keep(key, b"short")
    assert cache.find(key) is None


def test_the_observer_sees_lookups_and_the_bytes_in_memory():
    seen = CacheRecorder()
    cache = make_cache(min_memory_tokens=2, observer=seen)
    for key in (key_by(cache, 2), key_by(cache, 3)):
        assert cache.find(key) is None
        cache.keep(key, bytes(key.num_bytes))
        assert cache.find(key) is not None
    assert seen.memory_lookups == {"hit": 2, "miss": 2}
    assert seen.used_bytes["memory"] > 2 * ENTRY_OVERHEAD_BYTES


def test_another_checkpoint_has_keys_of_its_own_and_an_unknown_one_none():
    cache = make_cache()
    cache.describe({"opus": IDENTITY, "other": EncoderIdentity("f00e", "int8", FORMAT)})
    assert cache.wanted("opus", (1, 2)) != cache.wanted("other", (1, 2))
    assert cache.wanted("third", (1, 2)) is None


async def test_without_tiers_nothing_is_wanted():
    cache = make_cache(memory=False)
    assert cache.min_tokens is None
    assert cache.wanted("opus", (1, 2, 3)) is None
    assert await cache.find_shared([]) == {}


def test_before_the_checkpoints_are_known_nothing_is_wanted():
    cache = EncoderCache(
        MemoryTier(max_bytes=100, ttl_seconds=1),
        None,
        min_memory_tokens=1,
        min_shared_tokens=1,
        observer=CacheRecorder(),
        clock=lambda: 0.0,
    )
    assert cache.wanted("opus", (1, 2, 3)) is None
