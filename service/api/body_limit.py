"""One limit for all request bodies, and answers that reach a client while it is still sending.

The contract for routes and for middleware that answers in their place:

- A body over the limit raises an HTTPException (413) while the route reads it, at once if its length was announced.
  GET and HEAD routes do not read, so their bodies are read here, before the route is called and checks a key.
- A body that arrives too slowly raises an HTTPException (408) in the same way.
- So does one that the connection gives up, because its framing is broken (400) or too large (431). If the answer has
  begun, the rest is no longer awaited.
- Compressed bodies reach the route inflated, except those of GET and HEAD, which no route reads. See `inflation.py`.
- A route may answer before it has read the body (429, 503, 401, ...). Before such an answer ends, the rest of the body
  is read and dropped, up to MAX_DRAINED_BYTES and MAX_DRAIN_SECONDS: closing earlier would reset the connection, and a
  plain client would lose the answer. Then the connection is closed, unless the body had already arrived.
- A client that sends `Expect: 100-continue` gets its `100 Continue` when the route starts to read the body. If the
  route answers without reading, the client gets the final status, and the connection is closed.
- A hang-up before the end of the body has the outcome `cancelled`, whatever the route answers.
- After the end of the body, `receive` waits for the hang-up.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.eager import Eager
from service.api.errors import refuse
from service.api.inflation import InflatedBody, content_coding
from service.api.record import record_of

REFUSED_BODY = "kakehashi.refused_body"
"""The key, in the ASGI scope's extensions, of the HTTPException with which the connection gave up the body."""
MAX_DRAINED_BYTES = 16 << 20
MAX_DRAIN_SECONDS = 10.0
METHODS_READ_FIRST = frozenset({"GET", "HEAD"})
HEADERS_OF_CODED = frozenset({b"content-encoding", b"content-length"})
"""Headers that are no longer true of an inflated body."""


@dataclass(frozen=True, slots=True)
class BodyPace:
    """A body may take `arrival_seconds`, and a second more for every `min_bytes_per_second` bytes that arrived."""

    arrival_seconds: float
    min_bytes_per_second: int


class BodyLimit:
    """Refuses bodies that are longer than `max_bytes` or slower than `pace`.

    Starlette's own limit answers in plain text and resets uploads.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, pace: BodyPace) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(headers := Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        extensions = scope.get("extensions", {})
        upload = _Upload(receive, send, headers, extensions, max_bytes=self._max_bytes, pace=self._pace)
        if scope["method"] in METHODS_READ_FIRST:
            await self._read_first(scope, upload)
        elif coding := content_coding(headers):
            body = InflatedBody(upload.receive, coding=coding, max_bytes=self._max_bytes)
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in HEADERS_OF_CODED]
            await self._app(scope, body.receive, upload.send)
        else:
            await self._app(scope, upload.receive, upload.send)
        if upload.is_cut_short:
            record = record_of(scope)
            record.outcome, record.status = "cancelled", 499

    async def _read_first(self, scope: Scope, upload: "_Upload") -> None:
        body = bytearray()
        try:
            while not upload.has_ended:
                body += (await upload.receive()).get("body", b"")
        except HTTPException as error:
            await refuse(scope, error.status_code, error.detail)(scope, upload.receive, upload.send)
            return
        if upload.is_cut_short:
            return
        unread: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def receive() -> Message:
            return unread.pop() if unread else await upload.receive()

        await self._app(scope, receive, upload.send)


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


class _Upload:
    """The body of a request while it arrives, and the answer, which may have to wait for it."""

    def __init__(
        self,
        receive: Receive,
        send: Send,
        headers: Headers,
        extensions: dict[str, Any],
        *,
        max_bytes: int,
        pace: BodyPace,
    ) -> None:
        self._receive = receive
        self._send = send
        self._extensions = extensions
        self._max_bytes = max_bytes
        self._pace = pace
        self._began = asyncio.get_running_loop().time()
        self._is_given_up = False
        """The rest of the body is not awaited."""
        self._is_invited = headers.get("expect", "").lower() != "100-continue"
        announced = headers.get("content-length", "")
        self._is_announced_too_long = announced.isdecimal() and int(announced) > max_bytes
        self._num_bytes = 0
        self._has_answer = False
        self.has_ended = False
        """The whole body has arrived."""
        self.is_cut_short = False
        """The client hung up before the end of the body and before an answer."""

    async def receive(self) -> Message:
        """Raises HTTPException if the body is over the limit, too slow or given up by the connection."""
        if self._is_announced_too_long:
            raise self._over_limit()
        if self.has_ended:
            return await self._next()
        following = Eager(self._next())
        message = await (following if following.is_done else self._in_time(following))
        if self._num_bytes > self._max_bytes and message["type"] == "http.request":
            raise self._over_limit()
        return message

    async def _in_time(self, following: Eager[Message]) -> Message:
        """Raises HTTPException if it comes too late."""
        try:
            async with asyncio.timeout_at(self._latest):
                return await following
        except TimeoutError:
            self._is_given_up = True
            raise HTTPException(
                408,
                f"{self._num_bytes} bytes of the body came in time: it has {self._pace.arrival_seconds:g} s, "
                f"and a second more for every {self._pace.min_bytes_per_second} bytes",
            ) from None

    async def send(self, message: Message) -> None:
        if self.is_cut_short:
            return
        if message["type"] == "http.response.start":
            self._has_answer = True
            if not self.has_ended:
                await self._drain(0)
            if not self.has_ended:
                MutableHeaders(scope=message)["Connection"] = "close"
        if self.has_ended or message["type"] == "http.response.start" or message.get("more_body", False):
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        await self._drain(MAX_DRAIN_SECONDS)
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    @property
    def _latest(self) -> float:
        """The latest time for more of the body to arrive."""
        return self._began + self._pace.arrival_seconds + self._num_bytes / self._pace.min_bytes_per_second

    def _over_limit(self) -> HTTPException:
        return HTTPException(413, f"the body is longer than {self._max_bytes} bytes")

    async def _next(self) -> Message:
        """Raises HTTPException if the connection gave up the body."""
        self._is_invited = True
        message = await self._receive()
        if REFUSED_BODY in self._extensions:
            self._is_given_up = True
            raise self._extensions.pop(REFUSED_BODY)  # the scope must not refer to its own traceback
        if message["type"] == "http.disconnect":
            self.is_cut_short |= not (self.has_ended or self._has_answer)
            self.has_ended = True
        else:
            self._num_bytes += len(message.get("body", b""))
            self.has_ended = not message.get("more_body", False)
        return message

    async def _drain(self, max_seconds: float) -> None:
        """Read and drop the rest of the body; with 0 seconds, only the part that has arrived."""
        if not self._is_invited or self._is_given_up:
            return
        end = self._num_bytes + MAX_DRAINED_BYTES
        with suppress(TimeoutError, HTTPException):
            async with asyncio.timeout(max_seconds):
                while not self.has_ended and self._num_bytes < end:
                    await self._next()
