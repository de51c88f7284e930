"""Equal work in flight is done once, and what the cache has is not encoded: on real workers, in float32."""

import asyncio
import os
import signal
from collections.abc import Sequence as SequenceOf
from contextlib import aclosing

import pytest

from service.cache.values import OutputKey
from service.engine.stream import EngineStream
from service.engine.types import SequenceStarted
from service.observability.metrics import Metrics
from tests.service.engine.clients import SOURCES, make_sequence, tokens_of

CACHE_BYTES = 1 << 20


class FakeRedis:
    """A shared tier that answers when it is told to; no server is needed to state what the client makes of it."""

    def __init__(self) -> None:
        self.outputs: dict[OutputKey, bytes] = {}
        self.asked: list[list[OutputKey]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def find(self, keys: SequenceOf[OutputKey]) -> dict[OutputKey, bytes]:
        self.asked.append(list(keys))
        await self.may_answer.wait()
        return {key: self.outputs[key] for key in keys if key in self.outputs}

    def put(self, key: OutputKey, output: bytes) -> None:
        self.outputs[key] = output


def count(metrics: Metrics, name: str) -> float:
    lines = metrics.render().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"kakehashi_{name}"))


async def drained(stream: EngineStream) -> list[list[int]]:
    """The tokens of each of its sequences, as submitted."""
    async with aclosing(stream):
        return [tokens for _, tokens in sorted((await tokens_of(stream)).items())]


async def test_equal_sequences_in_flight_are_decoded_once(running, expected: list[list[int]]):
    metrics = Metrics()
    async with running(metrics=metrics) as client:
        before = count(metrics, "generated_tokens_total")
        streams = [client.submit([make_sequence(client, SOURCES[0])]) for _ in range(3)]
        answers = await asyncio.gather(*(drained(stream) for stream in streams))
        assert answers == [[expected[0]]] * 3
        assert count(metrics, "generated_tokens_total") - before == len(expected[0])
        assert count(metrics, 'coalesced_total{kind="request"}') == 2


async def test_one_who_joins_late_is_told_all_from_the_start(running, expected: list[list[int]]):
    async with running() as client:
        first = client.submit([make_sequence(client, SOURCES[0])])
        await anext(first)
        second = client.submit([make_sequence(client, SOURCES[0])])
        assert await drained(second) == [expected[0]]
        third = client.submit([make_sequence(client, SOURCES[0])])  # the decode is over, but its first stream is open
        assert await drained(third) == [expected[0]]
        await first.aclose()
        assert client.encoder_cache_use(0) == (2, 1)


@pytest.mark.parametrize("leaver", [0, 1])
async def test_one_who_leaves_does_not_end_it_for_the_other(running, expected: list[list[int]], leaver: int):
    async with running() as client:
        streams = [client.submit([make_sequence(client, SOURCES[1])]) for _ in range(2)]
        leaving, staying = streams[leaver], streams[1 - leaver]
        await anext(leaving)
        await leaving.aclose()
        assert await drained(staying) == [expected[1]]
        assert client.queue_tokens == 0


async def test_when_all_leave_it_is_cancelled_and_asked_anew(running, expected: list[list[int]]):
    metrics = Metrics()
    async with running(metrics=metrics) as client:
        for stream in [client.submit([make_sequence(client, SOURCES[0])]) for _ in range(2)]:
            await stream.aclose()
        assert await drained(client.submit([make_sequence(client, SOURCES[0])])) == [expected[0]]
        assert count(metrics, 'coalesced_total{kind="request"}') == 1


async def test_a_joined_sequence_survives_the_death_of_its_worker(running, expected: list[list[int]]):
    async with running() as client:
        streams = [client.submit([make_sequence(client, SOURCES[0])]) for _ in range(2)]
        os.kill(client.worker_pids[0], signal.SIGKILL)
        answers = await asyncio.gather(*(drained(stream) for stream in streams))
        assert answers == [[expected[0]]] * 2


async def test_those_who_join_need_no_room_in_the_queue(running, expected: list[list[int]]):
    async with running(max_queue_tokens=len(SOURCES[0])) as client:
        streams = [client.submit([make_sequence(client, SOURCES[0])]) for _ in range(5)]
        assert client.queue_tokens == len(SOURCES[0])
        assert await asyncio.gather(*(drained(stream) for stream in streams)) == [[expected[0]]] * 5


async def test_equal_sources_in_flight_go_to_one_worker_which_encodes_them_once(running):
    metrics = Metrics()
    async with running(num_workers=2, metrics=metrics) as client:
        before = count(metrics, "source_tokens_total")
        first, second = make_sequence(client, SOURCES[0]), make_sequence(client, SOURCES[0], max_new_tokens=5)
        streams = [client.submit([each]) for each in (first, second)]
        await asyncio.gather(*(drained(stream) for stream in streams))
        assert count(metrics, "source_tokens_total") - before == len(SOURCES[0])
        assert count(metrics, 'coalesced_total{kind="encode"}') == 1


async def test_what_the_memory_tier_has_is_not_encoded_and_says_the_same(running, expected: list[list[int]]):
    metrics = Metrics()
    async with running(num_workers=2, cache_bytes=CACHE_BYTES, metrics=metrics) as client:
        before = count(metrics, "source_tokens_total")
        for _ in range(2):
            stream = client.submit([make_sequence(client, source) for source in SOURCES])
            assert await drained(stream) == expected
        assert count(metrics, "source_tokens_total") - before == sum(map(len, SOURCES))
        assert client.encoder_cache_use(0) == (len(SOURCES), len(SOURCES))


async def test_what_may_not_be_kept_is_neither_looked_up_nor_kept(running, expected: list[list[int]]):
    metrics, redis = Metrics(), FakeRedis()
    async with running(cache_bytes=CACHE_BYTES, shared=redis, metrics=metrics) as client:
        for _ in range(2):
            stream = client.submit([make_sequence(client, SOURCES[0], is_cacheable=False)])
            assert await drained(stream) == [expected[0]]
        assert client.encoder_cache_use(0) == (0, 2)
        assert redis.asked == []
        assert redis.outputs == {}
        assert count(metrics, "encoder_cache_requests_total") == 0


async def test_the_shared_tier_is_asked_once_a_submit_and_given_what_it_lacks(running, expected: list[list[int]]):
    redis = FakeRedis()
    async with running(shared=redis) as client:
        stream = client.submit([make_sequence(client, source) for source in [*SOURCES, *SOURCES]])
        assert [len(keys) for keys in redis.asked] == []
        assert await drained(stream) == expected * 2
        assert [len(keys) for keys in redis.asked] == [len(SOURCES)]
    async with running(shared=redis) as client:
        assert await drained(client.submit([make_sequence(client, SOURCES[3])])) == [expected[3]]
        assert client.encoder_cache_use(0) == (1, 0)


async def test_what_was_encoded_is_shared_when_the_first_answer_is_out(running):
    redis = FakeRedis()
    async with running(shared=redis) as client:
        stream = client.submit([make_sequence(client, SOURCES[0])])
        await tokens_of(stream)
        assert redis.outputs == {}
        await stream.aclose()
        assert len(redis.outputs) == 1


async def test_while_the_shared_tier_is_asked_the_rest_goes_on_and_a_hang_up_is_heard(
    running, expected: list[list[int]]
):
    redis = FakeRedis()
    async with running(cache_bytes=CACHE_BYTES, shared=redis) as client:
        await drained(client.submit([make_sequence(client, SOURCES[0])]))
        redis.may_answer.clear()
        stream = client.submit([make_sequence(client, source) for source in SOURCES[:2]])
        abandoned = client.submit([make_sequence(client, SOURCES[2])])
        assert len([event for event in await anext(stream) if isinstance(event, SequenceStarted)]) == 1
        await abandoned.aclose()
        redis.may_answer.set()
        assert expected[1] in await drained(stream)
        assert client.queue_tokens == 0
