"""Answers to HTTP/1.0 clients, who know no chunked coding: one of unknown length ends with its connection."""

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
        """A stream may send a comment beside an event, and the lengths below are those of one message."""

    async def __call__(self, scope: Scope, receive: Receive, _: Send) -> None:
        await self._app(scope, receive, self._send)

    async def _send(self, message: Message) -> None:
        async with self._turn:
            if message["type"] == "http.response.start":
                self._is_of_unknown_length = all(name.lower() != b"content-length" for name, _ in message["headers"])
                if self._is_of_unknown_length:
                    self._cycle.chunked_encoding = False
            elif self._is_of_unknown_length:
                self._cycle.expected_content_length = len(message.get("body", b""))
            await self._cycle.send(message)  # type: ignore[arg-type]  # Starlette's messages are plain mappings
