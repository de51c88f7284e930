"""A request to an app as plain data, and its answer as batches of ASGI messages, for transport between replicas."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Scope

END_SECONDS = 10.0
"""The time an app has to notice a hang-up before it is cancelled."""


@dataclass(frozen=True, slots=True)
class AppRequest:
    method: str
    path: str
    query_string: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""

    def scope(self) -> Scope:
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": self.method,
            "path": self.path,
            "raw_path": self.path.encode(),
            "root_path": "",
            "query_string": self.query_string,
            "headers": [*self.headers],
            "client": None,
            "server": None,
            "state": {},
        }


async def call(app: ASGIApp, request: AppRequest) -> AsyncGenerator[list[Message], None]:
    """Yield the messages of the answer in batches, as they come. Closing or cancelling it is a client's hang-up."""
    messages: asyncio.Queue[Message | None] = asyncio.Queue()
    unread = [request.body]
    is_gone = asyncio.Event()

    async def receive() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        await is_gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        messages.put_nowait(message)

    running = asyncio.ensure_future(app(request.scope(), receive, send))
    running.add_done_callback(lambda _: messages.put_nowait(None))
    try:
        is_over = False
        while not is_over:
            batch = [await messages.get()]
            while not messages.empty():
                batch.append(messages.get_nowait())
            is_over = batch[-1] is None
            if sent := [message for message in batch if message is not None]:
                yield sent
    finally:
        is_gone.set()
        await asyncio.wait({running}, timeout=END_SECONDS)
        running.cancel()
    running.result()
