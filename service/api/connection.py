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

A head is limited in size, and so are the bytes of a request between two pieces of its body: chunk extensions and
trailers. The parser keeps an incomplete trailer, and no count of the body includes it.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import httptools
from starlette.exceptions import HTTPException
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.api.body_limit import REFUSED_BODY
from service.api.connections import Connections
from service.api.delivery import Delivery, cut_off, limit_buffer, limit_stall, limit_unsent
from service.api.errors import TooManyConnectionsError
from service.api.half_close import EXTENSION, PROBE_PAUSES_SECONDS
from service.api.http10 import EndsWithConnection
from service.api.middleware import PROBES
from service.api.refused_head import EXTENSION as REFUSED_HEAD
from service.api.refused_head import RefusedHead
from service.api.url_limit import MAX_URL_BYTES, URL_DETAIL, URL_TOO_LONG

MAX_HELD_BYTES = 64 << 10
"""The limit of bytes read while a request is being answered, not counting those that arrived with its end."""
MAX_HELD_REQUESTS = 32
SENDING_SECONDS = 0.5
"""How long the rest of a head or trailer that is too large is read and dropped before it is refused."""
UNKNOWN_PATH = b"/unknown"
PROBE_URLS = frozenset(path.encode() for path in PROBES)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class TooManyHeldError(Exception):
    """More than MAX_HELD_REQUESTS wait behind the current request."""


class Connection(HttpToolsProtocol):
    def __init__(
        self,
        *args: Any,
        connections: Connections,
        connections_at: Mapping[int | None, Connections] | None = None,
        **kwargs: Any,
    ) -> None:
        """`connections_at` has the ports that count their connections apart."""
        super().__init__(*args, **kwargs)
        self._all = connections
        self._connections_at = connections_at or {}
        self._answered: RequestResponseCycle | None = None
        """The current request, or the last one; `cycle` is the newest parsed request."""
        self._half_closed = asyncio.Event()
        self._num_held_bytes = 0
        self._is_discarding = False
        self._stall: tuple[float, int] | None = None
        """While writing is paused: the time since which the client has taken nothing, and the bytes left then."""
        self.has_lost_bytes = False
        self._idle_since = self.loop.time()
        self._head_began: float | None = None
        self._num_read_bytes = 0
        self._num_head_bytes = 0
        """Bytes of the current head, or those read since the last piece of a body."""
        self._is_read_counted = False
        self._is_over_limit = False
        self._refused: RefusedHead | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        limit_buffer(transport)
        limit_unsent(transport)
        limit_stall(transport, seconds=self._all.limits.stall_seconds)
        self._all = self._connections_at.get(self.server[1] if self.server else None, self._all)
        self._all.add(self)
        self._is_over_limit = self._all.is_over_limit
        if self._all.is_reserve_spent:
            cut_off(transport)

    def look(self, now: float) -> None:
        if self._stall is not None:
            self._look_at_stall(*self._stall, now)
        elif self._is_discarding:
            return
        elif self.cycle is None or self.cycle.response_complete or self._head_began is not None:
            self._look_at_arrival(now)

    def give_way(self) -> None:
        if self.transport.get_write_buffer_size():
            cut_off(self.transport)
        else:
            self.transport.close()

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
        self._num_read_bytes = len(data)
        self._is_read_counted = True
        super().data_received(data)
        if self._is_read_counted:
            self._num_head_bytes += len(data)
            if self._num_head_bytes > self._all.limits.max_head_bytes:
                self._refuse_when_sent(self._too_large)
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
            self.pipeline.popleft()  # its body was cut short
        self.cycle = self.pipeline[0][0] if self.pipeline else answered
        self.cycle.keep_alive = False
        self._half_closed.set()
        self._probe(0)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.remove(self)
        self.has_lost_bytes = self.flow.write_paused
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn's timer would hold a connection that was reset
        self.pipeline.clear()
        answered = self._answered
        if answered is not None and not answered.response_complete:  # uvicorn informs the newest request only
            answered.disconnected = True
            answered.message_event.set()

    def on_message_begin(self) -> None:
        if len(self.pipeline) == MAX_HELD_REQUESTS:
            raise TooManyHeldError
        super().on_message_begin()
        self._head_began, self._num_head_bytes = self.loop.time(), 0
        self.scope["extensions"] = {EXTENSION: self._half_closed}  # type: ignore[dict-item]

    def on_url(self, url: bytes) -> None:
        if len(self.url) <= MAX_URL_BYTES:  # this much shows that it is too long
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        is_trailer = self._head_began is None  # RFC 9110, section 6.5.1, forbids adding it to the headers
        if not is_trailer and len(self.headers) <= self._all.limits.max_headers:  # as above
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        refused = self._refused or self._check_head()
        self._head_began = None
        self._restart_count()
        if refused is not None:
            self.scope["extensions"][REFUSED_HEAD] = refused  # type: ignore[assignment]
        if len(self.url) > MAX_URL_BYTES:
            self.url = self.url.partition(b"?")[0][:MAX_URL_BYTES]
            self.scope["extensions"][URL_TOO_LONG] = {}
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._restart_count()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._restart_count()
        self._all.end_wait(self)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._idle_since = self.loop.time()
        super().on_response_complete()
        if not self._is_answering:
            self._all.wait(self)

    def send_400_response(self, _msg: str) -> None:
        self._refuse(HTTPException(400, "this is not HTTP/1.1"))

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

    def _restart_count(self) -> None:
        """Count from the next read on: how much of this one came after the parser's event is not known."""
        self._num_head_bytes, self._is_read_counted = 0, False

    def _check_head(self) -> RefusedHead | None:
        limits = self._all.limits
        if self._num_head_bytes + self._num_read_bytes > limits.max_head_bytes and len(self.url) <= MAX_URL_BYTES:
            num_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if num_bytes > limits.max_head_bytes:
                return self._head_too_large
        if len(self.headers) > limits.max_headers:
            return HTTPException(431, f"the request has more than {limits.max_headers} headers")
        if self._is_over_limit and self.url not in PROBE_URLS:
            return TooManyConnectionsError(
                f"{limits.max_connections} connections are open, which is the limit", retry_after_seconds=1
            )
        return None

    @property
    def _too_large(self) -> HTTPException:
        if self._head_began is None:
            return HTTPException(
                431, f"chunk extensions or trailers of the body are longer than {self._all.limits.max_head_bytes} bytes"
            )
        return self._head_too_large

    @property
    def _head_too_large(self) -> HTTPException:
        if len(self.url) > MAX_URL_BYTES:
            return HTTPException(431, URL_DETAIL)
        return HTTPException(431, f"the URL and the headers are longer than {self._all.limits.max_head_bytes} bytes")

    def _refuse_when_sent(self, refused: HTTPException) -> None:
        """Refuse after SENDING_SECONDS.

        Closing while the client still sends would reset the connection, and the client would lose the answer.
        """
        self._is_discarding = True
        self.loop.call_later(SENDING_SECONDS, self._refuse, refused)

    def _refuse(self, refused: HTTPException) -> None:
        """Refuse an incomplete request and end the connection; during an earlier answer, only end it afterwards."""
        if self.transport.is_closing():
            return
        if self._is_answering:
            self._end_after_answer()
            return
        if (answered := self._answered) is not None and not answered.response_complete:
            self._refuse_body(answered, refused)
            return
        is_known = self._head_began is not None and self.headers and len(self.url) <= MAX_URL_BYTES
        path = self.url.partition(b"?")[0] if is_known else UNKNOWN_PATH
        self._refused = refused
        # Parse one last request in place of the refused one.
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(b"GET %b HTTP/1.1\r\nConnection: close\r\n\r\n" % path)
        self._is_discarding = True

    def _refuse_body(self, cycle: RequestResponseCycle, refused: HTTPException) -> None:
        """End the body of a request that is with the application already. `BodyLimit` raises the refusal there."""
        self._is_discarding = True
        cycle.keep_alive = False
        cycle.scope["extensions"][REFUSED_BODY] = refused  # type: ignore[assignment]
        cycle.message_event.set()

    def _look_at_arrival(self, now: float) -> None:
        """Refuse a head that takes too long, and close a connection on which no head begins."""
        arrival_seconds = self._all.limits.arrival_seconds
        if self._is_answering:
            self._head_began = None if self._head_began is None else now
        elif self._head_began is not None:
            if now - self._head_began >= arrival_seconds:
                self._refuse(HTTPException(408, f"the head of the request took longer than {arrival_seconds:g} s"))
        elif now - self._idle_since >= (arrival_seconds if self.cycle is None else self.timeout_keep_alive):
            self.transport.close()

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
