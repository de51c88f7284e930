"""A transport of `httpx2` that calls an ASGI app in this process, and passes on bodies as they arrive."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx2
from starlette.types import ASGIApp, Message, Scope


class AsgiTransport(httpx2.AsyncBaseTransport):
    """Streams responses, whereas `httpx2.ASGITransport` returns a response only when it is complete."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": request.url.raw_path.partition(b"?")[0],
            "query_string": request.url.query,
            "server": (request.url.host, request.url.port),
            "client": None,
            "root_path": "",
        }
        exchange = _Exchange(self._app, scope, await request.aread())
        try:
            status, headers = await exchange.start()
        except BaseException:
            await exchange.aclose()
            raise
        return httpx2.Response(status, headers=headers, stream=exchange)


class _Exchange(httpx2.AsyncByteStream):
    """One request; closing it before its end is a hang-up."""

    def __init__(self, app: ASGIApp, scope: Scope, body: bytes) -> None:
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._inbox.put_nowait({"type": "http.request", "body": body, "more_body": False})
        self._sent: asyncio.Queue[Message | None] = asyncio.Queue()
        self._serving = asyncio.create_task(self._serve(app, scope))

    async def start(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        message = await self._sent.get()
        if message is None:
            raise httpx2.RemoteProtocolError("the service ended without an answer")
        return message["status"], list(message["headers"])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more: Any = True
        while more and (message := await self._sent.get()) is not None:
            yield message.get("body", b"")
            more = message.get("more_body", False)

    async def aclose(self) -> None:
        self._inbox.put_nowait({"type": "http.disconnect"})
        await asyncio.wait([self._serving])

    async def _serve(self, app: ASGIApp, scope: Scope) -> None:
        try:
            with suppress(Exception):  # it has been logged and answered
                await app(scope, self._inbox.get, self._sent.put)
        finally:
            self._sent.put_nowait(None)
