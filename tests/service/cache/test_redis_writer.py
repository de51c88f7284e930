"""Laws of writes, on a real Redis: no request waits for them, they expire, and failures are only counted."""

import asyncio
import logging

import pytest

from loadtests.bench.loopback import free_port
from loadtests.bench.redis_server import RedisServer
from service.cache.redis_client import redis_key
from service.cache.redis_writer import MAX_BATCH_BYTES
from service.cache.values import unpack_value
from tests.support.redis_rig import LIMIT_SECONDS, Rig, key_of, output_of, running_tier, until

NUMBERS = range(1, 21)


def put(rig: Rig, *numbers: int) -> None:
    for number in numbers:
        rig.tier.put(key_of(number), output_of(number))


async def put_and_wait(rig: Rig, *numbers: int) -> None:
    """Until something has become of all of these."""
    num_writes = sum(rig.seen.writes.values()) + len(numbers)
    put(rig, *numbers)
    await until(lambda: sum(rig.seen.writes.values()) == num_writes)


async def open_write_circuit(rig: Rig) -> None:
    for number in (1, 2, 3):
        await put_and_wait(rig, number)
    assert rig.seen.writes["error"] == 3
    assert "write" in rig.seen.open_circuits


async def test_a_value_is_stored_packed_and_expires(redis_server: RedisServer):
    async with running_tier(redis_server.url) as rig:
        await rig.store(7)
        key = redis_key(key_of(7).digest)
        assert key == b"kakehashi:encoder:" + key_of(7).digest.hex().encode()
        assert unpack_value(key_of(7), redis_server.ask("GET", key)) == output_of(7)
        assert 590 <= redis_server.ask("TTL", key) <= 600


async def test_what_is_queued_goes_out_in_few_round_trips(redis_server: RedisServer):
    async with running_tier(redis_server.url, max_pending_bytes=4 * MAX_BATCH_BYTES) as rig:
        await rig.store(*[1000] * 9)  # of 256,000 bytes each: four to a batch
        assert rig.seen.operations["write"] == 3


async def test_what_does_not_fit_in_the_queue_is_dropped(redis_server: RedisServer):
    num_bytes = sum(len(output_of(number)) for number in (1, 2, 3))
    async with running_tier(redis_server.url, max_pending_bytes=num_bytes, is_started=False) as rig:
        put(rig, 1, 2, 4, 3)
        assert rig.seen.writes["dropped"] == 1
        rig.tier.start()
        await until(lambda: rig.seen.writes["ok"] == 3)
        assert await rig.found([1, 2, 3, 4]) == [1, 2, 3]
        await rig.store(4)  # there is room again


async def test_closing_sends_what_is_queued(redis_server: RedisServer):
    async with running_tier(redis_server.url) as rig:
        put(rig, *NUMBERS)
    assert redis_server.ask("DBSIZE") == len(NUMBERS)
    put(rig, 1)
    assert rig.seen.writes == {"ok": len(NUMBERS), "error": 0, "dropped": 1}


async def test_closing_ends_though_redis_is_gone(own_redis: RedisServer):
    async with running_tier(own_redis.url) as rig:
        await rig.store(1)
        own_redis.kill()
        put(rig, *NUMBERS)
    assert rig.seen.writes["ok"] == 1


async def test_closing_ends_though_redis_does_not_answer(own_redis: RedisServer):
    async with running_tier(own_redis.url) as rig:
        await rig.store(1)
        with own_redis.frozen():
            put(rig, *NUMBERS)
            async with asyncio.timeout(LIMIT_SECONDS):
                await rig.tier.aclose()
    assert rig.seen.writes["ok"] == 1


async def test_closing_what_was_never_started_drops_what_is_queued(redis_server: RedisServer):
    async with running_tier(redis_server.url, is_started=False) as rig:
        put(rig, 1)
    assert rig.seen.writes["dropped"] == 1


async def test_a_redis_that_is_gone_makes_writes_drop_until_it_is_back(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, "service.cache")
    async with running_tier(own_redis.url) as rig:
        own_redis.kill()
        await open_write_circuit(rig)
        put(rig, 4)
        assert rig.seen.writes == {"ok": 0, "error": 3, "dropped": 1}
        own_redis.start()
        rig.clock.now += 1
        await rig.store(5)
        assert "write" not in rig.seen.open_circuits
    assert [record.levelname for record in caplog.records if "write" in record.message] == ["WARNING", "INFO"]


async def test_a_full_redis_refuses_writes_and_still_answers_look_ups(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
):
    async with running_tier(own_redis.url) as rig:
        await rig.store(10)
        own_redis.configure("maxmemory", "1")
        await open_write_circuit(rig)
        assert await rig.found([10]) == [10]
        assert "read" not in rig.seen.open_circuits
        own_redis.configure("maxmemory", "0")
        rig.clock.now += 1
        await rig.store(11)
    assert "OutOfMemoryError" in caplog.text


async def test_a_read_only_redis_refuses_writes_and_still_answers_look_ups(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
):
    async with running_tier(own_redis.url) as rig:
        await rig.store(10)
        own_redis.ask("REPLICAOF", "127.0.0.1", free_port())
        await open_write_circuit(rig)
        assert await rig.found([10]) == [10]
        own_redis.ask("REPLICAOF", "NO", "ONE")
        rig.clock.now += 1
        await rig.store(11)
    assert "ReadOnlyError" in caplog.text


async def test_a_value_that_alone_is_refused_is_counted_alone(own_redis: RedisServer):
    user = f"~{redis_key(key_of(1).digest).decode()}"
    own_redis.ask("ACL SETUSER", "one", "on", ">word", "+@all", user)
    async with running_tier(f"redis://one:word@127.0.0.1:{own_redis.port}", is_started=False) as rig:
        put(rig, 1, 2)
        rig.tier.start()
        await until(lambda: rig.seen.writes == {"ok": 1, "error": 1, "dropped": 0})


async def test_the_memory_of_redis_is_read_at_the_start_and_then_now_and_again(redis_server: RedisServer):
    async with running_tier(redis_server.url) as rig:
        await until(lambda: rig.seen.used_bytes["redis"] > 100_000)
        num_calls = redis_server.num_calls("info")
        await rig.store(1)
        await rig.store(2)
        rig.clock.now += 10
        await rig.store(3)
        await rig.store(4)  # after what followed the one before
        assert redis_server.num_calls("info") == num_calls + 2  # one of them asked for these numbers
