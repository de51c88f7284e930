"""Laws of the stream: nothing is lost or reordered, whoever reads when, and it ends once."""

import asyncio

import pytest

from model.search.types import Hypothesis, Token
from service.engine.stream import EngineStream
from service.engine.types import SequenceEvent, SequenceProgress, SequenceStarted
from service.errors import DeadlineExceededError, EngineFailedError

END = (Hypothesis((5, 2), (-0.5, -0.5), -0.5, "stop"),)


def progress(sequence_id: int, *, ends: bool = False) -> SequenceProgress:
    return SequenceProgress(sequence_id, [Token(5, -0.5)], END if ends else ())


def make_stream(num_sequences: int, *, deadline: float | None = None) -> EngineStream:
    stream = EngineStream(deadline=deadline, cancel=lambda _: None)
    for sequence_id in range(num_sequences):
        stream.expect(sequence_id)
    return stream


async def read(stream: EngineStream) -> list[list[SequenceEvent]]:
    return [events async for events in stream]


async def test_each_step_wakes_who_reads_every_step():
    stream = make_stream(1)
    reading = asyncio.create_task(read(stream))
    for ends in (False, False, True):
        await asyncio.sleep(0)
        stream.push(progress(0, ends=ends))
        await asyncio.sleep(0)
    assert [len(events) for events in await reading] == [1, 1, 1]


async def test_a_start_is_read_with_what_follows_it():
    stream = make_stream(2)
    reading = asyncio.create_task(read(stream))
    pushed: list[SequenceEvent] = [
        SequenceStarted(0, 0.0, encoded=True),
        SequenceStarted(1, 0.0, encoded=True),
        progress(0, ends=True),
        progress(1, ends=True),
    ]
    for event in pushed:
        await asyncio.sleep(0.001)
        stream.push(event)
    assert await reading == [pushed[:3], pushed[3:]]


async def test_what_came_before_an_error_is_read_first():
    stream = make_stream(1)
    stream.push(progress(0))
    stream.abort(EngineFailedError("over"))
    assert await anext(stream) == [progress(0)]
    with pytest.raises(EngineFailedError):
        await anext(stream)


async def test_a_deadline_wakes_who_reads():
    stream = make_stream(1, deadline=asyncio.get_running_loop().time() + 0.01)
    with pytest.raises(DeadlineExceededError):
        await anext(stream)


async def test_a_stream_of_nothing_is_over():
    assert await read(make_stream(0)) == []
