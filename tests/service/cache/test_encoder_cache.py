"""Keys that no two sources share, and which tier is asked for which source."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from service.cache.encoder_cache import EncoderCache, EncoderIdentity
from service.cache.memory import MemoryTier
from service.cache.values import OutputFormat, Wanted
from service.observability.metrics import Metrics

FORMAT = OutputFormat("float16", 2)
IDENTITY = EncoderIdentity("f00d", "int8", FORMAT)
TOKEN_IDS = st.lists(st.integers(0, 2**32 - 1), max_size=6)


class Shelf:
    """A shared tier that keeps all in a dictionary."""

    def __init__(self) -> None:
        self.outputs: dict[bytes, bytes] = {}

    async def find(self, wanted: Sequence[Wanted]) -> dict[bytes, bytes]:
        return {each.key: self.outputs[each.key] for each in wanted if each.key in self.outputs}

    def put(self, wanted: Wanted, output: bytes) -> None:
        self.outputs[wanted.key] = output


def make_cache(
    *, memory: bool = True, shared: Shelf | None = None, min_memory_tokens: int = 1, min_shared_tokens: int = 1
) -> EncoderCache:
    cache = EncoderCache(
        MemoryTier(max_bytes=10_000, ttl_seconds=60) if memory else None,
        shared,
        min_memory_tokens=min_memory_tokens,
        min_shared_tokens=min_shared_tokens,
        metrics=Metrics(),
        clock=lambda: 0.0,
    )
    cache.describe([IDENTITY])
    return cache


def wanted_by(cache: EncoderCache, num_tokens: int) -> Wanted:
    wanted = cache.wanted(0, tuple(range(num_tokens)))
    assert wanted is not None
    return wanted


@given(TOKEN_IDS, TOKEN_IDS)
def test_two_sources_have_one_key_only_if_they_are_equal(first: list[int], second: list[int]):
    assert (IDENTITY.key(first) == IDENTITY.key(second)) == (first == second)


@given(st.text(max_size=4), st.text(max_size=4))
def test_what_is_joined_otherwise_has_another_key(first: str, second: str):
    moved = EncoderIdentity(f"{first}a", second, FORMAT), EncoderIdentity(first, f"a{second}", FORMAT)  # type: ignore[arg-type]
    assert moved[0].key([5]) != moved[1].key([5])


def test_another_checkpoint_or_compute_type_has_another_key():
    others = [EncoderIdentity("f00e", "int8", FORMAT), EncoderIdentity("f00d", "float32", FORMAT)]
    assert len({each.key([1, 2]) for each in [IDENTITY, *others]}) == 3
    assert len(IDENTITY.key([1, 2])) == 32


async def test_each_tier_takes_sources_from_its_own_length_on():
    shared = Shelf()
    cache = make_cache(shared=shared, min_memory_tokens=2, min_shared_tokens=4)
    assert cache.wanted(0, (7,)) is None
    short, long = wanted_by(cache, 2), wanted_by(cache, 4)
    assert (cache.is_shared(short), cache.is_shared(long)) == (False, True)
    assert cache.min_tokens == 2
    for wanted in (short, long):
        cache.keep(wanted, bytes(wanted.num_bytes))
        assert cache.find(wanted) == bytes(wanted.num_bytes)


async def test_what_the_shared_tier_had_is_in_memory_from_then_on():
    shared = Shelf()
    cache = make_cache(shared=shared)
    wanted = wanted_by(cache, 3)
    assert cache.find(wanted) is None
    cache.share(wanted, output := bytes(range(wanted.num_bytes)))
    assert cache.find(wanted) is None
    assert await cache.find_shared([wanted, wanted_by(cache, 2)]) == {wanted.key: output}
    assert cache.find(wanted) == output


def test_an_output_of_another_size_is_not_kept():
    cache = make_cache()
    wanted = wanted_by(cache, 3)
    cache.keep(wanted, b"short")
    assert cache.find(wanted) is None


async def test_without_tiers_nothing_is_wanted():
    cache = make_cache(memory=False)
    assert cache.min_tokens is None
    assert cache.wanted(0, (1, 2, 3)) is None
    assert await cache.find_shared([]) == {}


def test_before_the_checkpoints_are_known_nothing_is_wanted():
    cache = EncoderCache(
        MemoryTier(max_bytes=100, ttl_seconds=1),
        None,
        min_memory_tokens=1,
        min_shared_tokens=1,
        metrics=Metrics(),
        clock=lambda: 0.0,
    )
    assert cache.wanted(0, (1, 2, 3)) is None
