"""The client side: bodies, event streams, and connections that a test can cut at an exact point."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import EventSource, ServerSentEvent, aconnect_sse

from loadtests.bench.loopback import HOST

NO_STORE = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    data: dict[str, Any]


def request_body(
    text: str | list[str], source_lang: str, target_lang: str | list[str], **options: Any
) -> dict[str, Any]:
    return {"text": text, "source_lang": source_lang, "target_lang": target_lang, **options}


def read_events(answer: httpx.Response) -> Iterator[Event]:
    for event in EventSource(answer).iter_sse():
        yield _event(event)


def deltas(events: Iterable[Event]) -> str:
    """The joined deltas of a stream of one text and target."""
    return "".join(event.data["text"] for event in events if event.name == "token")


def is_whole(events: list[Event]) -> bool:
    """Whether the stream ended with `done`, its only terminal event."""
    terminal = [event.name for event in events if event.name in ("done", "error")]
    return terminal == ["done"] and events[-1].name == "done"


async def translate(client: httpx.AsyncClient, body: dict[str, Any]) -> str:
    """Translate the one text in `body`, plain or as a stream, depending on its `stream` field."""
    if body.get("stream"):
        async with aconnect_sse(client, "POST", "/v1/translations", json=body) as source:
            events = [_event(event) async for event in source.aiter_sse()]
        assert is_whole(events), events[-1]
        return deltas(events)
    answer = await client.post("/v1/translations", json=body)
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["translations"][0]["text"]
    return text


async def translate_all(client: httpx.AsyncClient, bodies: Iterable[dict[str, Any]]) -> list[str]:
    """Send all requests at once."""
    return list(await asyncio.gather(*(translate(client, body) for body in bodies)))


@asynccontextmanager
async def raw_request(port: int, body: dict[str, Any]) -> AsyncIterator[asyncio.StreamReader]:
    """Send a whole request on a plain socket. Leaving the context closes the connection at once."""
    payload = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection(HOST, port)
    head = f"POST /v1/translations HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(payload)}\r\n\r\n".encode() + payload)
    await writer.drain()
    try:
        yield reader
    finally:
        writer.close()
        await writer.wait_closed()


def _event(event: ServerSentEvent) -> Event:
    return Event(event.event, json.loads(event.data))
