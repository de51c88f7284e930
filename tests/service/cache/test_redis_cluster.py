"""Laws of the tier on a Cluster: keys fan out over its nodes, and a node that fails is no more than a miss."""

import asyncio
from collections.abc import Iterator

import pytest

from loadtests.bench.redis_server import RedisServer
from service.cache.redis_client import connect
from service.errors import RateSpentError
from service.rates.allowance import Allowance
from service.rates.rate_limits import RateLimits
from service.rates.redis_counts import RedisCounts
from tests.support.cache_recorder import CacheRecorder
from tests.support.redis_rig import running_tier, until
from tests.support.redis_topologies import running_cluster

NUMBERS = list(range(1, 31))


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[RedisServer]]:
    with running_cluster() as nodes:
        yield nodes


@pytest.fixture
def url(cluster: list[RedisServer]) -> str:
    for node in cluster:
        node.ask("FLUSHALL")
    return cluster[0].url.replace("redis://", "redis+cluster://")


async def test_outputs_are_spread_over_the_nodes_and_found_again(cluster: list[RedisServer], url: str):
    async with running_tier(url) as rig:
        await rig.store(*NUMBERS)
        sizes = [node.ask("DBSIZE") for node in cluster]
        assert sum(sizes) == len(NUMBERS)
        assert min(sizes) > 0
        assert await rig.found([*NUMBERS, 50]) == NUMBERS
        assert rig.seen.redis_lookups == {"hit": len(NUMBERS), "miss": 1, "error": 0}


async def test_the_memory_of_all_nodes_is_added_up(cluster: list[RedisServer], url: str):
    async with running_tier(url) as rig:
        await until(lambda: rig.seen.used_bytes["redis"] > 0)
        used = [node.ask("INFO", "memory")["used_memory"] for node in cluster]
        assert rig.seen.used_bytes["redis"] > 2 * min(used)


async def test_late_answers_of_a_node_reach_nobody_else(cluster: list[RedisServer], url: str):
    async with running_tier(url) as rig:
        await rig.store(*NUMBERS)
        with cluster[1].frozen():
            callers = [asyncio.create_task(rig.found(NUMBERS[start:])) for start in range(10)]
            await asyncio.wait(callers, timeout=0.05)
            for caller in callers:
                caller.cancel()
            await asyncio.wait(callers)
        found = await asyncio.gather(*(rig.found([number]) for number in reversed(NUMBERS)))
        assert found == [[number] for number in reversed(NUMBERS)]


async def test_rate_limits_are_counted_on_a_cluster(url: str):
    counts = RedisCounts(connect(url, timeout_seconds=2.0), timeout_seconds=2.0, observer=CacheRecorder())
    limits = RateLimits(counts)
    for key in ("alice", "bob", "carol"):  # on different nodes
        await limits.take(key, Allowance(requests=1, characters=10), num_characters=10)
        with pytest.raises(RateSpentError):
            await limits.take(key, Allowance(characters=10), num_characters=1)
    await limits.aclose()


async def test_a_node_that_was_away_is_found_again(cluster: list[RedisServer], url: str):
    async with running_tier(url) as rig:
        await rig.store(*NUMBERS)
        cluster[2].kill()
        assert len(await rig.found(NUMBERS)) < len(NUMBERS)  # what the other nodes have may come
        for _ in range(3):
            assert await rig.found(NUMBERS) == []
        assert "read" in rig.seen.open_circuits
        cluster[2].start()
        rig.clock.now += 1
        await rig.found(NUMBERS)
        assert "read" not in rig.seen.open_circuits
