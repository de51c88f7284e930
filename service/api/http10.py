"""Answers to HTTP/1.0 clients, which do not support chunks: an answer of unknown length ends with its connection."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class EndsWithConnection:
    """ASGI around the app for the one request of `cycle`, which would send chunks whatever the client's version is."""

    def __init__(self, app: ASGIApp, cycle: RequestResponseCycle) -> None:
        self._app = app
        self._cycle = cycle
        self._is_of_unknown_length = False
        self._turn = asyncio.Lock()
        """Held while a message is sent: a stream may send a comment beside an event, and lengths are per message."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without_chunks(message: Message) -> None:
            async with self._turn:
                if message["type"] == "http.response.start":
                    lengths = [value for name, value in message["headers"] if name.lower() == b"content-length"]
                    self._is_of_unknown_length = not lengths
                    if self._is_of_unknown_length:
                        self._cycle.chunked_encoding = False
                elif self._is_of_unknown_length:
                    self._cycle.expected_content_length = len(message.get("body", b""))
                await send(message)

        await self._app(scope, receive, send_without_chunks)
