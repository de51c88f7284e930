"""Server-Sent Events, and hang-ups noticed while an answer is being made.

A stream's first line is a comment, so that the client sees at once that it is open, and a comment follows whenever 10 s
pass in silence, so that no proxy takes it for dead.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.errors import ClientGoneError

SILENCE_SECONDS = 10.0
STALL_SECONDS = 30.0
UNICODE_LINE_ENDS = "\x85\u2028\u2029"
COMMENT = b": \n\n"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

T = TypeVar("T")


def encode_event(name: str, data: bytes) -> bytes:
    """`data` is JSON. Line ends that only Unicode knows are escaped: some clients take them for the end of a line."""
    for character in UNICODE_LINE_ENDS:
        data = data.replace(character.encode(), f"\\u{ord(character):04x}".encode())
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def encode_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


async def until_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, cancelled when the client hangs up: then raises ClientGoneError.

    Call it once the request's body has been read: the next message is the hang-up.
    """
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_hang_up(receive))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGoneError("the client hung up")
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _hang_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStreamResponse(Response):
    """Sends the chunks of `chunks` as they come; closes it when they end or the client hangs up.

    A client that takes nothing for 30 s is cut off: there is no other way to tell it anything.
    """

    media_type = "text/event-stream"

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._chunks = chunks

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._chunks):
            with suppress(ClientGoneError, TimeoutError):
                await until_gone(receive, self._send_all(send))

    async def _send_all(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        last_sent_at = loop.time()

        async def send_chunk(chunk: bytes, *, more: bool = True) -> None:
            nonlocal last_sent_at
            last_sent_at = loop.time()
            async with asyncio.timeout(STALL_SECONDS):
                await send({"type": "http.response.body", "body": chunk, "more_body": more})

        async def keep_alive() -> None:
            while True:
                await asyncio.sleep(last_sent_at + SILENCE_SECONDS - loop.time())
                if loop.time() - last_sent_at >= SILENCE_SECONDS:
                    await send_chunk(COMMENT)

        await send_chunk(COMMENT)
        comments = asyncio.create_task(keep_alive())
        try:
            async for chunk in self._chunks:
                await send_chunk(chunk)
        finally:
            comments.cancel()
        await send_chunk(b"", more=False)
