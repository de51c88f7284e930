"""Server-Sent Events, and the detection of hang-ups while an answer is made.

A stream starts with a comment, which shows the client at once that it is open. Another comment follows every 10 s of
silence, so that proxies keep the connection. After a client half-closes its connection, a few comments are sent at
once, which fail if the client is gone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.eager import Eager
from service.api.errors import ClientGoneError
from service.api.half_close import PROBE_PAUSES_SECONDS, half_closed_event

SILENCE_SECONDS = 10.0
ESCAPES = tuple((character.encode(), f"\\u{ord(character):04x}".encode()) for character in "\x85\u2028\u2029")
COMMENT = b": \n\n"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

T = TypeVar("T")


def encode_event(name: bytes, data: bytes) -> bytes:
    return b"event: %b\n" % name + encode_data(data)


def encode_data(data: bytes) -> bytes:
    """An event without a name. `data` is JSON.

    Unicode line separators are escaped, because some clients treat them as the end of a line.
    """
    if not data.isascii():
        for character, escape in ESCAPES:
            data = data.replace(character, escape)
    return b"data: %b\n\n" % data


async def until_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`. If the client hangs up, `work` is cancelled, and ClientGoneError is raised.

    Call it only after the request's body has been read, because it drops all messages.
    """
    eager = Eager(work)
    if eager.is_done:
        return await eager
    try:
        # `work` runs in this task: a timeout that the hang-up triggers takes half the time of racing two tasks.
        async with asyncio.timeout(None) as gone:
            watch = asyncio.ensure_future(_hang_up(receive))
            watch.add_done_callback(lambda _: _set_off(gone))
            try:
                return await eager
            finally:
                watch.cancel()
    except TimeoutError:
        if gone.expired():
            raise ClientGoneError("the client hung up") from None
        raise


def _set_off(timeout: asyncio.Timeout) -> None:
    """Expire the timeout now, if it is still pending."""
    with suppress(RuntimeError):
        timeout.reschedule(asyncio.get_running_loop().time())


async def _hang_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStreamResponse(Response):
    """Opens a stream that `tell` writes. `tell` is cancelled when the client hangs up."""

    media_type = "text/event-stream"

    def __init__(self, tell: Callable[["EventWriter"], Awaitable[None]]) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._tell = tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        with suppress(ClientGoneError):
            await until_gone(receive, self._write_all(EventWriter(send), half_closed_event(scope)))

    async def _write_all(self, writer: "EventWriter", half_closed: asyncio.Event) -> None:
        watch = asyncio.create_task(_break_silences(writer))
        probe = asyncio.create_task(_probe(writer, half_closed))
        try:
            await self._tell(writer)
        finally:
            watch.cancel()
            probe.cancel()


class EventWriter:
    """Sends chunks, and records when the last one began and whether it is still being sent.

    Sending a chunk takes as long as all our work on a token, so all available events are sent in one chunk.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._time = asyncio.get_running_loop().time
        self._has_begun = False
        self.is_sending = False
        self.last_began = self._time()

    @property
    def seconds_since(self) -> float:
        return self._time() - self.last_began

    async def write(self, chunk: bytes, *, more: bool) -> None:
        """`more` is false for the last chunk of the stream. The opening comment precedes the first one."""
        if not self._has_begun:
            self._has_begun, chunk = True, COMMENT + chunk
        self.is_sending, self.last_began = True, self._time()
        await self._send({"type": "http.response.body", "body": chunk, "more_body": more})
        self.is_sending = False

    async def write_comment(self) -> None:
        """Write a comment; a chunk may be written meanwhile."""
        self.last_began = self._time()
        await self._send({"type": "http.response.body", "body": COMMENT, "more_body": True})


async def _break_silences(writer: EventWriter) -> None:
    """Write a comment after every silence. A chunk that the client has not taken yet is not a silence."""
    while True:
        if writer.is_sending:
            await asyncio.sleep(SILENCE_SECONDS)
        elif writer.seconds_since >= SILENCE_SECONDS:
            await writer.write_comment()
        else:
            await asyncio.sleep(SILENCE_SECONDS - writer.seconds_since)


async def _probe(writer: EventWriter, half_closed: asyncio.Event) -> None:
    """Write comments to a client that may be gone; if it is, the connection is lost and the stream ends."""
    await half_closed.wait()
    for pause_seconds in (*PROBE_PAUSES_SECONDS, 0.0):
        if not writer.is_sending:  # an unread chunk is a probe too
            await writer.write_comment()
        await asyncio.sleep(pause_seconds)
