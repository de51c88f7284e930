"""Laws of the wire format."""

import asyncio
import json

import httpx_sse
import pytest
from starlette.types import Message

from service.api import sse
from service.api.encoding import encode_json
from service.api.sse import EventWriter, encode_event


def test_an_event_is_one_event_to_any_client_whatever_is_in_it():
    data = {"text": "a\u2028b\u2029c\x85d\ne\rf"}
    block = encode_event(b"token", encode_json(data)).decode()
    assert len(block.splitlines()) == 3
    decoder = httpx_sse._decoders.SSEDecoder()
    events = [event for line in block.splitlines() if (event := decoder.decode(line))]
    assert [(event.event, json.loads(event.data)) for event in events] == [("token", data)]


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_silent_stream_sends_comments(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sse, "SILENCE_SECONDS", 0.02)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def tell(writer: EventWriter) -> None:
        await writer.write(b"a", more=True)
        await asyncio.sleep(0.1)
        await writer.write(b"b", more=False)

    await sse.EventStreamResponse(tell)({}, never, send)
    bodies = [message["body"] for message in sent[1:]]
    assert bodies[0] == sse.COMMENT + b"a", "a comment is sent at once"
    assert bodies[-1] == b"b"
    assert set(bodies[1:-1]) == {sse.COMMENT}
    assert [message["more_body"] for message in sent[1:]] == [True] * (len(bodies) - 1) + [False]
