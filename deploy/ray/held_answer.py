"""An answer on its way to the client, held back for as long as another replica could still give it."""

from starlette.datastructures import Headers
from starlette.types import Message, Send


class HeldAnswer:
    """A plain answer goes out whole. A stream goes out as it comes, from its first event on."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._held: list[Message] = []
        self._is_stream = False
        self.has_begun = False
        self.is_whole = False

    async def add(self, message: Message) -> None:
        self._held.append(message)
        if message["type"] == "http.response.start":
            media_type = Headers(raw=message["headers"]).get("content-type", "")
            self._is_stream = media_type.startswith("text/event-stream")
            return
        self.is_whole = not message.get("more_body", False)
        if self._is_stream or self.is_whole:
            await self._release()

    async def _release(self) -> None:
        self.has_begun = True
        held, self._held = self._held, []
        for message in held:
            await self._send(message)

    async def end_with(self, last: bytes) -> None:
        """The last bytes of a stream that nobody else can end."""
        await self._send({"type": "http.response.body", "body": last, "more_body": False})
        self.is_whole = True
