"""Laws of the client, on real worker processes with a small random checkpoint."""

import asyncio
import os
import signal

import pytest

from service.engine.types import SequenceProgress, is_terminal
from service.errors import DeadlineExceededError, DrainingError, NotReadyError, QueueFullError
from tests.service.engine.clients import SOURCES, make_sequence, tokens_of, until


async def test_sequences_side_by_side_say_what_they_say_alone(running, expected: list[list[int]]):
    async with running(num_workers=2) as client:
        sequences = [make_sequence(client, source) for source in SOURCES]
        tokens = await tokens_of(client.submit(sequences))
        assert [tokens[sequence.sequence_id] for sequence in sequences] == expected
        assert len({len(each) for each in expected}) > 1


async def test_work_of_a_dead_worker_is_replayed_without_a_gap_or_an_echo(running, expected: list[list[int]]):
    async with running() as client:
        sequences = [make_sequence(client, source) for source in SOURCES]
        stream = client.submit(sequences)
        first = await anext(stream)
        os.kill(client.worker_pids[0], signal.SIGKILL)
        rest = await tokens_of(stream)
        for event in reversed(first):
            if isinstance(event, SequenceProgress):
                rest[event.sequence_id][:0] = [token.token_id for token in event.tokens]
        assert [rest[sequence.sequence_id] for sequence in sequences] == expected


async def test_a_sequence_whose_worker_dies_twice_fails_once(running):
    async with running() as client:
        stream = client.submit([make_sequence(client, SOURCES[0])])
        for _ in range(2):
            await until(lambda: bool(client.worker_pids))
            os.kill(pid := client.worker_pids[0], signal.SIGSTOP)
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid: pid not in client.worker_pids)
            await until(lambda: client.is_ready)
        events = [event async for batch in stream for event in batch]
        assert [event for event in events if is_terminal(event)] == events[-1:]


async def test_a_late_request_ends_with_its_deadline(running):
    async with running() as client:
        os.kill(pid := client.worker_pids[0], signal.SIGSTOP)
        stream = client.submit([make_sequence(client, SOURCES[0])], deadline=asyncio.get_running_loop().time())
        with pytest.raises(DeadlineExceededError):
            await tokens_of(stream)
        await stream.aclose()
        os.kill(pid, signal.SIGCONT)
        assert await tokens_of(client.submit([make_sequence(client, SOURCES[1])]))
        assert client.queue_tokens == 0


async def test_a_full_queue_refuses_and_a_hang_up_makes_room(running):
    async with running(max_queue_tokens=30) as client:
        os.kill(pid := client.worker_pids[0], signal.SIGSTOP)
        stream = client.submit([make_sequence(client, source) for source in SOURCES[:2]])
        with pytest.raises(QueueFullError, match="24 source tokens are waiting and this request has 12 more"):
            client.submit([make_sequence(client, SOURCES[2])])
        await stream.aclose()
        again = client.submit([make_sequence(client, SOURCES[2])])
        os.kill(pid, signal.SIGCONT)
        assert await tokens_of(again)


async def test_a_closed_client_ends_what_is_open(running):
    async with running() as client:
        os.kill(client.worker_pids[0], signal.SIGSTOP)
        stream = client.submit([make_sequence(client, SOURCES[0])])
        os.kill(client.worker_pids[0], signal.SIGKILL)
        await client.aclose()
        with pytest.raises(DrainingError):
            await tokens_of(stream)
        with pytest.raises(NotReadyError):
            client.submit([make_sequence(client, SOURCES[0])])
