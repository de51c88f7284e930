"""Laws of the wire format."""

import asyncio
import json
from collections.abc import AsyncGenerator

import httpx_sse
import pytest
from starlette.types import Message

from service.api import sse
from service.api.sse import encode_event, encode_json


def test_an_event_is_one_event_to_any_client_whatever_is_in_it():
    data = {"text": "a\u2028b\u2029c\x85d\ne\rf"}
    block = encode_event(b"token", encode_json(data)).decode()
    assert len(block.splitlines()) == 3
    decoder = httpx_sse._decoders.SSEDecoder()
    events = [event for line in block.splitlines() if (event := decoder.decode(line))]
    assert [(event.event, json.loads(event.data)) for event in events] == [("token", data)]


async def chunks(*items: bytes, pauses: float = 0.0) -> AsyncGenerator[bytes, None]:
    for item in items:
        await asyncio.sleep(pauses)
        yield item


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_silent_stream_sends_comments(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sse, "SILENCE_SECONDS", 0.02)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await sse.EventStreamResponse(chunks(b"a", b"b", pauses=0.1))({}, never, send)
    bodies = [message["body"] for message in sent[1:]]
    assert [body for body in bodies if body != sse.COMMENT] == [b"a", b"b", b""]
    assert bodies.count(sse.COMMENT) > 2
    assert [message["more_body"] for message in sent[1:]] == [True] * (len(bodies) - 1) + [False]


@pytest.mark.parametrize("taken", [1, 2, 3, 4])
async def test_a_client_that_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch, taken: int):
    """With the first comment, a chunk, or the comment in a silence."""
    monkeypatch.setattr(sse, "SILENCE_SECONDS", 0.02)
    monkeypatch.setattr(sse, "STALL_SECONDS", 0.05)
    sent: list[Message] = []
    closed = asyncio.Event()

    async def send(message: Message) -> None:
        if len(sent) == taken:
            await asyncio.Event().wait()
        sent.append(message)

    async def source() -> AsyncGenerator[bytes, None]:
        try:
            yield b"a"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with asyncio.timeout(5):
        await sse.EventStreamResponse(source())({}, never, send)
    assert len(sent) == taken
    assert closed.is_set() or taken == 1, "what has begun is told to stop"
