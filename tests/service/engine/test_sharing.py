"""Equal work in flight is done once, and cached sources are not encoded: on real workers, in float32."""

import asyncio
import os
import signal
from collections.abc import Sequence

import pytest

from service.cache.values import OutputKey
from service.engine.events import Started
from tests.service.engine.engines import (
    CHECKPOINT,
    SOURCES,
    EngineLog,
    drained,
    submit,
    tokens_of,
    until,
    worker_pids,
)
from tests.support.cache_recorder import CacheRecorder

CACHE_BYTES = 1 << 20

pytestmark = pytest.mark.asyncio(loop_scope="session")


class FakeRedis:
    """A shared tier without a server, which answers when the test releases it."""

    def __init__(self) -> None:
        self.outputs: dict[OutputKey, bytes] = {}
        self.asked: list[list[OutputKey]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def find(self, keys: Sequence[OutputKey]) -> dict[OutputKey, bytes]:
        self.asked.append(list(keys))
        await self.may_answer.wait()
        return {key: self.outputs[key] for key in keys if key in self.outputs}

    def put(self, key: OutputKey, output: bytes) -> None:
        self.outputs[key] = output


async def test_equal_decodes_in_flight_are_one(running, expected: list[list[int]]):
    log = EngineLog()
    async with running(log=log) as engine:
        subscriptions = [submit(engine, SOURCES[0]) for _ in range(3)]
        assert await asyncio.gather(*map(drained, subscriptions)) == [[expected[0]]] * 3
        assert log.num_generated_tokens == len(expected[0])
        assert log.shared["request"] == 2


async def test_a_late_subscriber_receives_everything_from_the_start(running, expected: list[list[int]]):
    async with running() as engine:
        with submit(engine, SOURCES[0]) as first:
            await first.next()
            assert await drained(submit(engine, SOURCES[0])) == [expected[0]]
            # the decode is over now, but its first subscription is open
            assert await drained(submit(engine, SOURCES[0])) == [expected[0]]
        assert engine.encoder_cache_use(CHECKPOINT) == (2, 1)


@pytest.mark.parametrize("leaver", [0, 1])
async def test_a_subscriber_that_leaves_does_not_end_it_for_the_other(running, expected: list[list[int]], leaver: int):
    async with running() as engine:
        subscriptions = [submit(engine, SOURCES[1]) for _ in range(2)]
        leaving, staying = subscriptions[leaver], subscriptions[1 - leaver]
        await leaving.next()
        leaving.close()
        assert await drained(staying) == [expected[1]]


async def test_a_decode_is_cancelled_when_all_have_left(running, expected: list[list[int]]):
    log = EngineLog()
    async with running(log=log) as engine:
        for subscription in [submit(engine, SOURCES[0]) for _ in range(2)]:
            subscription.close()
        assert (engine.is_idle, log.num_cancelled) == (True, 1)
        assert await drained(submit(engine, SOURCES[0])) == [expected[0]]
        assert log.shared["request"] == 1


async def test_a_retry_joins_the_decode_of_a_client_that_hung_up(running, expected: list[list[int]]):
    log = EngineLog()
    async with running(log=log) as engine:
        submit(engine, SOURCES[0], is_streamed=False).close(linger_seconds=30)
        assert await drained(submit(engine, SOURCES[0], is_streamed=False)) == [expected[0]]
        assert log.num_generated_tokens == len(expected[0])
        for subscription in engine._in_flight.subscriptions():
            subscription.abort(RuntimeError("the test is over"))


async def test_a_stream_that_joins_a_plain_decode_gets_tokens_before_the_end(running, expected: list[list[int]]):
    async with running() as engine:
        plain = submit(engine, SOURCES[0], is_streamed=False)
        await until(lambda: engine.num_waiting == 0)
        stream = submit(engine, SOURCES[0], is_streamed=True)
        with plain, stream:
            assert len(await stream.next()) > 0
            assert not stream.is_over
            await tokens_of(plain)


async def test_a_joined_decode_survives_the_death_of_its_worker(running, expected: list[list[int]]):
    async with running() as engine:
        subscriptions = [submit(engine, SOURCES[0]) for _ in range(2)]
        os.kill(worker_pids(engine)[0], signal.SIGKILL)
        assert await asyncio.gather(*map(drained, subscriptions)) == [[expected[0]]] * 2


async def test_joining_needs_no_room_in_the_queue(running, expected: list[list[int]]):
    async with running(max_queue_tokens=len(SOURCES[0])) as engine:
        subscriptions = [submit(engine, SOURCES[0]) for _ in range(5)]
        assert engine.queue_tokens == len(SOURCES[0])
        assert await asyncio.gather(*map(drained, subscriptions)) == [[expected[0]]] * 5


async def test_a_source_in_flight_is_encoded_once_over_all_workers(running):
    log = EngineLog()
    async with running(num_workers=2, log=log) as engine:
        subscriptions = [submit(engine, SOURCES[0], max_new_tokens=limit) for limit in range(5, 25)]
        await asyncio.gather(*map(drained, subscriptions))
        assert log.num_source_tokens == len(SOURCES[0])
        assert log.shared["encode"] == 19


async def test_what_the_memory_tier_has_is_not_encoded_and_gives_the_same(running, expected: list[list[int]]):
    log = EngineLog()
    async with running(num_workers=2, cache_bytes=CACHE_BYTES, log=log) as engine:
        for _ in range(2):
            assert await drained(submit(engine, *SOURCES)) == expected
        assert log.num_source_tokens == sum(map(len, SOURCES))
        assert engine.encoder_cache_use(CHECKPOINT) == (len(SOURCES), len(SOURCES))


async def test_what_may_not_be_kept_is_neither_looked_up_nor_kept(running, expected: list[list[int]]):
    redis, recorder = FakeRedis(), CacheRecorder()
    async with running(cache_bytes=CACHE_BYTES, shared=redis, cache_recorder=recorder) as engine:
        for _ in range(2):
            assert await drained(submit(engine, SOURCES[0], is_cacheable=False)) == [expected[0]]
        assert engine.encoder_cache_use(CHECKPOINT) == (0, 2)
        assert (redis.asked, redis.outputs) == ([], {})
        assert recorder.memory_lookups.total() == 0


async def test_the_shared_tier_is_asked_once_a_submit_and_given_what_it_lacks(running, expected: list[list[int]]):
    redis = FakeRedis()
    async with running(shared=redis) as engine:
        assert await drained(submit(engine, *SOURCES)) == expected
        assert [len(keys) for keys in redis.asked] == [len(SOURCES)]
    async with running(shared=redis) as engine:
        assert await drained(submit(engine, SOURCES[3])) == [expected[3]]
        assert engine.encoder_cache_use(CHECKPOINT) == (1, 0)


async def test_a_fresh_output_is_shared_when_the_first_answer_is_out(running):
    redis = FakeRedis()
    async with running(shared=redis) as engine:
        with submit(engine, SOURCES[0]) as subscription:
            await tokens_of(subscription)
            assert redis.outputs == {}
        assert len(redis.outputs) == 1


async def test_while_the_shared_tier_is_asked_the_rest_goes_on_and_a_hang_up_is_noticed(
    running, expected: list[list[int]]
):
    redis = FakeRedis()
    async with running(cache_bytes=CACHE_BYTES, shared=redis) as engine:
        await drained(submit(engine, SOURCES[0]))
        redis.may_answer.clear()
        subscription = submit(engine, *SOURCES[:2])
        abandoned = submit(engine, SOURCES[2])
        with subscription:
            assert len([event for _, event in await subscription.next() if isinstance(event, Started)]) == 1
            abandoned.close()
            redis.may_answer.set()
            assert expected[1] in await tokens_of(subscription)
