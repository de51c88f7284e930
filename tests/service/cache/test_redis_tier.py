"""Laws of lookups, on a real Redis: results are correct and fast, and every failure is just a miss."""

import asyncio
import logging

import pytest

from loadtests.bench.redis_server import RedisServer, running_redis
from service.cache.redis_client import redis_key
from service.cache.values import OutputFormat, OutputKey, pack_value
from tests.support.redis_rig import LIMIT_SECONDS, Rig, key_of, output_of, running_tier, until

SHORT_SECONDS = 0.25
"""For lookups that are to be late."""


async def test_what_was_put_is_found_again_and_the_rest_is_a_miss(redis_server: RedisServer):
    async with running_tier(redis_server.url) as rig:
        await rig.store(1, 2)
        assert await rig.found([1, 2, 3]) == [1, 2]
        assert rig.seen.redis_lookups == {"hit": 2, "miss": 1, "error": 0}
        assert rig.seen.operations["read"] == 1


async def test_any_number_of_keys_is_one_round_trip(redis_server: RedisServer):
    async with running_tier(redis_server.url) as rig:
        await rig.store(*range(1, 41))
        await rig.found([1])  # the connection is there
        num_reads = redis_server.ask("INFO", "stats")["total_reads_processed"]
        assert len(await rig.found(range(1, 41))) == 40
        reads = redis_server.ask("INFO", "stats")["total_reads_processed"] - num_reads
        assert reads == 1 + 1  # the second is this INFO


async def test_a_look_up_asks_for_no_more_than_its_bytes(redis_server: RedisServer):
    large = OutputFormat("float32", d_model=1024)
    async with running_tier(redis_server.url) as rig:
        assert await rig.tier.find([OutputKey(bytes([number]) * 32, 400, large) for number in range(5)]) == {}
        assert redis_server.num_calls("get") == 2  # of 1.6 MB each
        assert rig.seen.redis_lookups["miss"] == 2


async def test_nothing_wanted_asks_nothing(redis_server: RedisServer):
    async with running_tier(redis_server.url) as rig:
        assert await rig.tier.find([]) == {}
        assert rig.seen.operations["read"] == 0


@pytest.mark.parametrize(
    "stored",
    [
        b"something else altogether, of another program",
        pack_value(key_of(5), output_of(5))[:-1],
        pack_value(key_of(5), output_of(5))[:-2] + b"??",
        pack_value(key_of(6), output_of(6)),
    ],
    ids=["foreign", "truncated", "damaged", "misplaced"],
)
async def test_a_wrong_value_is_a_miss_and_is_removed(redis_server: RedisServer, stored: bytes):
    redis_server.ask("SET", key := redis_key(key_of(5).digest), stored)
    async with running_tier(redis_server.url) as rig:
        assert await rig.found([5]) == []
        assert rig.seen.redis_lookups == {"hit": 0, "miss": 1, "error": 0}
        assert rig.seen.num_damaged == 1
        await until(lambda: not redis_server.ask("EXISTS", key))


async def test_a_key_that_redis_refuses_leaves_the_others_alone(redis_server: RedisServer):
    async with running_tier(redis_server.url) as rig:
        await rig.store(1)
        redis_server.ask("LPUSH", redis_key(key_of(2).digest), "a list")
        assert await rig.found([1, 2]) == [1]
        assert rig.seen.redis_lookups == {"hit": 1, "miss": 0, "error": 1}
        await rig.store(2)
        assert await rig.found([1, 2]) == [1, 2]


async def test_many_look_ups_at_once_share_a_few_connections(redis_server: RedisServer):
    async with running_tier(redis_server.url) as rig:
        await rig.store(1, 2)
        assert await asyncio.gather(*(rig.found([1, 2]) for _ in range(200))) == [[1, 2]] * 200
        assert redis_server.ask("INFO", "clients")["connected_clients"] <= 20


async def test_late_answers_reach_nobody_else(redis_server: RedisServer):
    async with running_tier(redis_server.url, timeout_seconds=SHORT_SECONDS) as rig:
        await rig.store(*range(1, 21))
        await rig.found([1])
        with redis_server.frozen():
            assert await rig.found([1, 2, 3]) == []
            assert await rig.found([4, 5, 6]) == []
        assert rig.seen.redis_lookups["error"] == 6
        await _warm(rig)
        for number in range(1, 21):
            assert await rig.found([number]) == [number]
        assert rig.seen.num_damaged == 0


async def test_answers_to_a_caller_who_hung_up_reach_nobody_else(redis_server: RedisServer):
    async with running_tier(redis_server.url) as rig:
        await rig.store(*range(1, 21))
        with redis_server.frozen():
            callers = [asyncio.create_task(rig.found([number])) for number in range(1, 21)]
            await asyncio.wait(callers, timeout=SHORT_SECONDS)
            for caller in callers:
                caller.cancel()
            await asyncio.wait(callers)
        assert all(caller.cancelled() for caller in callers)
        assert await asyncio.gather(*(rig.found([number]) for number in range(20, 0, -1))) == [
            [number] for number in range(20, 0, -1)
        ]
        assert rig.seen.redis_lookups == {"hit": 20, "miss": 0, "error": 0}


async def test_a_restarted_redis_is_found_at_once(own_redis: RedisServer):
    async with running_tier(own_redis.url) as rig:
        await rig.store(1)
        assert await rig.found([1]) == [1]
        own_redis.kill()
        own_redis.start()
        assert await rig.found([1]) == []
        assert rig.seen.redis_lookups == {"hit": 1, "miss": 1, "error": 0}


async def test_a_redis_that_is_gone_is_left_alone_and_tried_again(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "service.cache")
    async with running_tier(own_redis.url) as rig:
        await rig.store(1)
        own_redis.kill()
        for _ in range(5):
            assert await rig.found([1]) == []
        assert "read" in rig.seen.open_circuits
        assert rig.seen.redis_lookups["error"] == 3
        own_redis.start()
        assert await rig.found([1]) == []
        assert own_redis.num_calls("get") == 0
        rig.clock.now += 1
        assert await rig.found([1]) == []
        assert (own_redis.num_calls("get"), "read" in rig.seen.open_circuits) == (1, False)
    assert [record.levelname for record in caplog.records if "read" in record.message] == ["WARNING", "INFO"]
    assert "ConnectionError" in caplog.text


async def test_a_caller_who_hangs_up_while_probing_leaves_the_probe_to_the_next(own_redis: RedisServer):
    async with running_tier(own_redis.url) as rig:
        await rig.store(1)
        own_redis.kill()
        for _ in range(3):
            await rig.found([1])
        own_redis.start()
        rig.clock.now += 1
        with own_redis.frozen():
            probe = asyncio.create_task(rig.found([1]))
            await asyncio.wait([probe], timeout=SHORT_SECONDS)
            probe.cancel()
            await asyncio.wait([probe])
        await rig.found([1])
        assert (rig.seen.redis_lookups["miss"], "read" in rig.seen.open_circuits) == (1, False)


async def test_a_wrong_password_is_told_once_and_never_repeated(caplog: pytest.LogCaptureFixture):
    with running_redis(password="right") as server:
        async with running_tier(f"redis://:hunter2@127.0.0.1:{server.port}") as rig:
            for _ in range(5):
                assert await rig.found([1]) == []
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "redis read" in record.getMessage()
    assert "AuthenticationError" in record.getMessage()
    assert "hunter2" not in caplog.text


async def _warm(rig: Rig) -> None:
    """Until a lookup is answered again within its short time."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while not await rig.found([1]):
            rig.clock.now += 30
