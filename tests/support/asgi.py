"""Call an ASGI app in this process, in situations that HTTP libraries cannot produce.

Examples are a hang-up in the middle of an answer, a client that reads nothing, and a body that never ends.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message

from tests.support.client import Event

JSON = {"content-type": "application/json"}
TIME_LIMIT_SECONDS = 20.0


class Exchange:
    """One request in flight. If `body` is None, the body has not arrived yet, and `send_body` sends it."""

    def __init__(
        self,
        app: ASGIApp,
        method: str,
        path: str,
        *,
        query: bytes = b"",
        body: bytes | None = b"",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._sent: list[Message] = []
        self._news = asyncio.Event()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self.num_received = 0
        """The number of calls of `receive` by the app."""
        if body is not None:
            self.send_body(body)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query,
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "state": {},
        }
        self._task = asyncio.ensure_future(app(scope, self._receive, self._send))

    def send_body(self, body: bytes) -> None:
        self._inbox.put_nowait({"type": "http.request", "body": body, "more_body": False})

    def hang_up(self) -> None:
        self._inbox.put_nowait({"type": "http.disconnect"})

    def stop_reading(self) -> None:
        self._may_read.clear()

    def read_again(self) -> None:
        self._may_read.set()

    async def wait(self) -> "Exchange":
        """Wait until the app returns."""
        async with asyncio.timeout(TIME_LIMIT_SECONDS):
            await self._task
        return self

    async def wait_for(self, text: bytes) -> None:
        """Wait until the answer contains `text`."""
        async with asyncio.timeout(TIME_LIMIT_SECONDS):
            while text not in self.body:
                self._news.clear()
                await self._news.wait()

    @property
    def has_begun(self) -> bool:
        return bool(self._sent)

    @property
    def is_whole(self) -> bool:
        return self.has_begun and not self._sent[-1].get("more_body", self._sent[-1]["type"].endswith("start"))

    @property
    def status(self) -> int:
        return int(self._sent[0]["status"])

    @property
    def headers(self) -> Headers:
        return Headers(raw=self._sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self._sent[1:])

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Event]:
        blocks = [block for block in self.body.decode().split("\n\n") if block.startswith("event")]
        parts = [block.split("\n", 1) for block in blocks]
        return [Event(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in parts]

    async def _receive(self) -> Message:
        self.num_received += 1
        return await self._inbox.get()

    async def _send(self, message: Message) -> None:
        await self._may_read.wait()
        self._sent.append(message)
        self._news.set()


def as_json(body: object) -> bytes:
    return json.dumps(body).encode()


async def call(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    query: bytes = b"",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Exchange:
    """Send a request and wait for the whole answer."""
    return await Exchange(app, method, path, query=query, body=body, headers=headers).wait()


async def post(app: ASGIApp, path: str, body: object, **headers: str) -> Exchange:
    """Send `body` as JSON, or unchanged if it is bytes."""
    content = body if isinstance(body, bytes) else as_json(body)
    return await call(app, "POST", path, body=content, headers=JSON | headers)
