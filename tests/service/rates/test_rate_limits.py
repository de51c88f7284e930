"""Laws of rate limits, in memory and in Redis; and of a Redis in trouble, which refuses nobody."""

from collections.abc import AsyncIterator, Iterator

import pytest

from loadtests.bench.redis_server import RedisServer, running_redis
from service.cache.redis_client import connect
from service.errors import RateSpentError, TooLargeError
from service.rates.allowance import Allowance
from service.rates.rate_limits import RateLimits, seconds_until_room
from service.rates.redis_counts import RedisCounts
from tests.support.cache_recorder import CacheRecorder

TWO = Allowance(requests=2)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


def limits_in(url: str, seen: CacheRecorder | None = None) -> RateLimits:
    client = connect(url, timeout_seconds=2.0)
    return RateLimits(RedisCounts(client, timeout_seconds=2.0, observer=seen or CacheRecorder()))


@pytest.fixture(params=["memory", "redis"])
async def limits(request: pytest.FixtureRequest, redis: RedisServer) -> AsyncIterator[RateLimits]:
    redis.ask("FLUSHALL")
    limits = RateLimits() if request.param == "memory" else limits_in(redis.url)
    yield limits
    await limits.aclose()


async def use(limits: RateLimits, key: str, allowance: Allowance, num_characters: int = 1) -> int:
    """0, or the seconds after which the request may be sent again."""
    try:
        await limits.take(key, allowance, num_characters=num_characters)
    except RateSpentError as error:
        return error.retry_after_seconds
    return 0


async def test_each_key_has_its_own_requests_a_minute(limits: RateLimits):
    assert [await use(limits, "alice", TWO) for _ in range(2)] == [0, 0]
    assert 1 <= await use(limits, "alice", TWO) <= 120
    assert await use(limits, "bob", TWO) == 0


async def test_a_request_that_is_refused_for_its_characters_uses_none(limits: RateLimits):
    allowance = Allowance(characters=100)
    assert await use(limits, "carol", allowance, 60) == 0
    assert await use(limits, "carol", allowance, 41) > 0
    assert await use(limits, "carol", allowance, 40) == 0


async def test_more_characters_than_a_minute_has_are_too_many(limits: RateLimits):
    with pytest.raises(TooLargeError, match="the texts have 101 characters; the key dave has 100 a minute"):
        await limits.take("dave", Allowance(characters=100), num_characters=101)


async def test_replicas_share_what_is_counted_in_redis(redis: RedisServer):
    redis.ask("FLUSHALL")
    first, second = limits_in(redis.url), limits_in(redis.url)
    assert [await use(each, "alice", TWO) for each in (first, second)] == [0, 0]
    assert await use(first, "alice", TWO) > 0
    assert await use(second, "alice", TWO) > 0
    await first.aclose()
    await second.aclose()


async def test_without_redis_requests_are_counted_in_memory():
    seen = CacheRecorder()
    with running_redis() as redis:
        limits = limits_in(redis.url, seen)
        assert await use(limits, "alice", Allowance(requests=1)) == 0
    used = [await use(limits, "alice", TWO) for _ in range(4)]
    assert (used[:2], all(used[2:])) == ([0, 0], True)
    assert seen.open_circuits == {"limit"}
    await limits.aclose()


@pytest.mark.parametrize(
    ("window", "cost", "seconds"),
    [
        ((0, 0.0, 10, 100.0), 1, 46.0),  # 40 s until the window shifts, and 6 s until one of its ten has gone
        ((0, 0.0, 10, 100.0), 10, 100.0),
        ((10, 30.0, 5, 90.0), 1, 6.0),
        ((10, 30.0, 5, 90.0), 5, 30.0),
        ((10, 30.0, 9, 90.0), 2, 90.0 - 8 * 60 / 9),
    ],
)
def test_the_wait_is_until_enough_has_gone(window: tuple[int, float, int, float], cost: int, seconds: float):
    assert seconds_until_room(*window, cost=cost, limit=10, window_seconds=60) == pytest.approx(seconds)
