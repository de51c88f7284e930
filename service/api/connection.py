"""An HTTP connection under uvicorn that detects hang-ups in every state.

Also, HTTP/1.0 clients get no chunks (http10.py), and a URL that is too long to be parsed gets an answer (url_limit.py).

uvicorn stops reading while a pipelined request waits, and treats a half-closed connection as a hang-up. Here, from the
end of a request until its answer is complete:

1. Reading goes on. Further requests are parsed and wait for their turn, up to MAX_HELD_BYTES and MAX_HELD_REQUESTS.
   Past these limits, or if they are not HTTP, all of them are dropped and the connection ends after the current answer;
   clients that pipeline must expect that (RFC 9112, section 9.3.2).
2. After a FIN the connection stays open for the answers to all complete requests. Until the current answer begins,
   interim responses (`100 Continue`, which every client skips) show whether the client is still there. HTTP/1.0 has no
   interim responses, so a FIN of such a client before the answer is a hang-up.

A FIN in the middle of a request, or when no answer is due, closes the connection.
"""

import asyncio
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.api.connections import Connections
from service.api.delivery import Delivery, cut_off, limit_buffer, limit_unsent
from service.api.half_close import EXTENSION, PROBE_PAUSES_SECONDS
from service.api.http10 import EndsWithConnection
from service.api.url_limit import MAX_URL_BYTES, URL_TOO_LONG

MAX_HELD_BYTES = 64 << 10
"""Read while a request is being answered; bytes that arrived together with its end do not count."""
MAX_HELD_REQUESTS = 32
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class TooManyHeldError(Exception):
    """More than MAX_HELD_REQUESTS wait behind the current request."""


class Connection(HttpToolsProtocol):
    def __init__(self, *args: Any, connections: Connections, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._all = connections
        self._answered: RequestResponseCycle | None = None
        """The current request, or the last one; `cycle` is the newest parsed request."""
        self._half_closed = asyncio.Event()
        self._num_held_bytes = 0
        self._is_discarding = False
        self._stall: tuple[float, int] | None = None
        """While the client has to take something before more is written: since when it took nothing, of how much."""
        self.has_lost_bytes = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        limit_buffer(transport)
        limit_unsent(transport)
        self._all.add(self)

    def look(self, now: float) -> None:
        if self._stall is not None:
            self._look_at_stall(*self._stall, now)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall = self.loop.time(), self.transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stall = None

    def data_received(self, data: bytes) -> None:
        if self._is_discarding:
            return
        if self._is_answering:
            self._num_held_bytes += len(data)
            if self._num_held_bytes > MAX_HELD_BYTES:
                self._end_after_answer()
                return
        super().data_received(data)
        # uvicorn pauses for a pipelined request and for a body that the application has not read yet.
        if self._is_answering and not self.transport.is_closing():
            self.flow.resume_reading()

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn's own always closes
        answered = self._answered
        if answered is None or not self._is_answering:
            return False
        if answered.scope["http_version"] == "1.0" and not answered.response_started:
            return False
        if self.pipeline and self.pipeline[0][0].more_body:
            self.pipeline.popleft()  # cut short
        self.cycle = self.pipeline[0][0] if self.pipeline else answered
        self.cycle.keep_alive = False
        self._half_closed.set()
        self._probe(0)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.remove(self)
        self.has_lost_bytes = self.flow.write_paused
        super().connection_lost(exc)
        self.pipeline.clear()
        answered = self._answered
        if answered is not None and not answered.response_complete:  # uvicorn informs the newest request only
            answered.disconnected = True
            answered.message_event.set()

    def on_message_begin(self) -> None:
        if len(self.pipeline) == MAX_HELD_REQUESTS:
            raise TooManyHeldError
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: self._half_closed}  # type: ignore[dict-item]

    def on_url(self, url: bytes) -> None:
        if len(self.url) <= MAX_URL_BYTES:  # more is not needed to know that it is too long
            super().on_url(url)

    def on_headers_complete(self) -> None:
        if len(self.url) > MAX_URL_BYTES:
            self.url = self.url.partition(b"?")[0][:MAX_URL_BYTES]
            self.scope["extensions"][URL_TOO_LONG] = {}
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Never writes into the answer to an earlier request."""
        if self._is_answering:
            self._end_after_answer()
        else:
            super().send_400_response(msg)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        self._num_held_bytes = 0
        if cycle.scope["http_version"] == "1.0":
            app = EndsWithConnection(app, cycle)  # type: ignore[arg-type, assignment]
        super()._start_asgi_task(cycle, Delivery(app, cycle, self))  # type: ignore[arg-type]

    @property
    def _is_answering(self) -> bool:
        """Whether a complete request still lacks a complete answer."""
        answered = self._answered
        return answered is not None and not answered.more_body and not answered.response_complete

    def _look_at_stall(self, since: float, num_bytes: int, now: float) -> None:
        left = self.transport.get_write_buffer_size()
        if left < num_bytes:
            self._stall = now, left
        elif now - since >= self._all.limits.stall_seconds:
            self._stall = None
            cut_off(self.transport)

    def _end_after_answer(self) -> None:
        assert self._answered is not None
        self._is_discarding = True
        self.pipeline.clear()
        self.cycle = self._answered
        self.cycle.keep_alive = False

    def _probe(self, num_written: int) -> None:
        """Write to a client that may be gone; if it is, the connection is lost and the application is informed."""
        if self.transport.is_closing():
            return
        answered = self._answered
        if answered is not None and not answered.response_started and answered.scope["http_version"] != "1.0":
            self.transport.write(CONTINUE)
        if num_written < len(PROBE_PAUSES_SECONDS):
            self.loop.call_later(PROBE_PAUSES_SECONDS[num_written], self._probe, num_written + 1)
