"""The answers on one connection, read by a parser that refuses anything but HTTP."""

from dataclasses import dataclass, field

import httptools


@dataclass(slots=True)
class Reply:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    """Names in lower case."""
    body: bytearray = field(default_factory=bytearray)
    is_whole: bool = False


class Replies:
    """Feed it what arrives. `replies` has the answers so far, interim ones left out."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self._current: Reply | None = None
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Raises httptools.HttpParserError for anything that is not HTTP."""
        self._parser.feed_data(data)

    # Called by httptools.

    def on_message_begin(self) -> None:
        self._current = Reply()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._current is not None:
            self._current.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        current = self._current
        if current is not None and (status := self._parser.get_status_code()) >= 200:
            current.status = status
            self.replies.append(current)

    def on_body(self, body: bytes) -> None:
        if self._current is not None:
            self._current.body += body

    def on_message_complete(self) -> None:
        if self._current is not None:
            self._current.is_whole = True
