"""Bodies in a content coding: gzip and deflate are inflated as they arrive, others are refused with 415.

The limit on bodies applies to the inflated data, and inflation stops one byte over the limit. Data that cannot be
inflated is a malformed body.
"""

import asyncio
import zlib

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from service.api.answers import FieldError
from service.api.errors import MalformedError
from service.errors import quoted

GZIP_BITS, ZLIB_BITS, RAW_BITS = 31, 15, -15
"""The formats, as window bits of zlib."""
CODINGS = ("gzip", "x-gzip", "deflate")
SLICE_BYTES = 8 << 10
"""Compressed bytes inflated between two turns of the event loop, to at most a thousand times as many.

A slice is small, because gzip data may have many members, and every member copies the rest of its slice.
"""


def content_coding(headers: Headers) -> str:
    """The content coding in lower case; empty if the body has none."""
    codings = ",".join(headers.getlist("content-encoding")).lower().split(",")
    return ", ".join(coding for each in codings if (coding := each.strip()) not in ("", "identity"))


class InflatedBody:
    """A request's `receive`, with the body inflated."""

    def __init__(self, receive: Receive, *, coding: str, max_bytes: int) -> None:
        self._receive = receive
        self._coding = coding
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._stream: zlib._Decompress | None = None
        self._has_ended = False

    async def receive(self) -> Message:
        """Raises HTTPException for an unsupported coding or over the limit, and MalformedError for broken data."""
        if self._coding not in CODINGS:
            detail = f"Content-Encoding {quoted(self._coding)} is not read: send gzip, deflate or identity"
            raise HTTPException(415, detail, {"Accept-Encoding": "gzip, deflate"})
        message = await self._receive()
        if message["type"] != "http.request" or self._has_ended:
            return message
        try:
            body = await self._inflate(message.get("body", b""))
        except zlib.error as error:
            raise self._broken("damaged data") from error
        self._has_ended = not message.get("more_body", False)
        if self._has_ended and (self._stream is None or not self._stream.eof):
            raise self._broken("its end is missing")
        return {**message, "body": body}

    async def _inflate(self, data: bytes) -> bytes:
        pieces = []
        for start in range(0, len(data), SLICE_BYTES):
            if start:
                await asyncio.sleep(0)
            unread = data[start : start + SLICE_BYTES]
            while unread:
                stream = self._stream = self._stream_for(unread)
                piece = stream.decompress(unread, self._max_bytes - self._num_bytes + 1)
                self._num_bytes += len(piece)
                if self._num_bytes > self._max_bytes:
                    raise HTTPException(413, f"the body is longer than {self._max_bytes} bytes when it is inflated")
                pieces.append(piece)
                unread = stream.unused_data
        return b"".join(pieces)

    def _stream_for(self, data: bytes) -> "zlib._Decompress":
        """The current stream, or a new one at the start of the body and of each further member of gzip data."""
        if self._stream is not None and not self._stream.eof:
            return self._stream
        if self._coding != "deflate":
            return zlib.decompressobj(GZIP_BITS)
        if self._stream is not None:
            raise self._broken("there is more behind its end")
        # Many clients send deflate without the zlib format around it. Such data never begins with the 8 of that format:
        # it would be an uncompressed block behind padding that is not zero.
        return zlib.decompressobj(ZLIB_BITS if data[0] & 0x0F == 8 else RAW_BITS)

    def _broken(self, cause: str) -> MalformedError:
        return MalformedError([FieldError("body", f"not {self._coding}: {cause}")])
