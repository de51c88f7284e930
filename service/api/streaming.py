"""Streams a translation in the events of any API.

Refusals come before the first byte. A later error becomes the last event. A stream without a last event was cut off by
its client.
"""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
from starlette.types import Receive, Scope, Send

from service.api.admission import Entry, Work
from service.api.errors import record_failure, refusal_of
from service.api.record import RequestRecord, record_of
from service.api.sse import EventStreamResponse, EventWriter, until_gone
from service.translation.active import ActiveTranslation
from service.translation.results import TokenEvent, Translation


class Events(Protocol):
    """Encodes one request's events for an API. Each call returns whole events, or nothing."""

    def start(self) -> bytes: ...
    def encode(self, items: Sequence[TokenEvent | Translation]) -> bytes: ...
    def done(self) -> bytes: ...
    def error(self, body: msgspec.Struct) -> bytes:
        """`body` is the body of a refusal."""


class StreamedTranslation:
    """ASGI: prepares `work` and streams its events."""

    def __init__(self, entry: Entry, work: Work, events_of: Callable[[ActiveTranslation], Events]) -> None:
        self._entry = entry
        self._work = work
        self._events_of = events_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        prepared = await until_gone(receive, self._entry.prepare(self._work))
        with self._entry.submitted(prepared, self._work) as active:
            record = record_of(scope)
            record.is_stream, record.outcome = True, "cancelled"  # until an event changes it
            active.timeline.streaming_at = time.monotonic()
            events = self._events_of(active)

            async def tell(writer: EventWriter) -> None:
                await writer.write(events.start(), more=True)
                more = True
                while more:
                    chunk, more = await _next_chunk(record, active, events)
                    await writer.write(chunk, more=more)

            await EventStreamResponse(tell)(scope, receive, send)


async def _next_chunk(record: RequestRecord, active: ActiveTranslation, events: Events) -> tuple[bytes, bool]:
    """All events of one step, and whether more follow. An error is not raised but becomes the last event."""
    try:
        chunk = b"" if active.is_over else events.encode(await active.next())
        if not active.is_over:
            return chunk, True
        record.outcome, active.timeline.decoded_at = "ok", time.monotonic()
        return chunk + events.done(), False
    except Exception as error:  # after any error the stream must end with an error event
        record_failure(error, record)
        refusal = refusal_of(error, request_id=record.request_id)
        return events.error(record.dialect.body(refusal)), False
