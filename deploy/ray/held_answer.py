"""An answer on its way to the client, held back while another replica could still give it."""

from starlette.datastructures import Headers
from starlette.types import Message, Send


class HeldAnswer:
    """Sends a plain answer as a whole, and a stream event by event from its first event on."""

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
        """Send the last bytes of a stream that its replica cannot end."""
        await self._send({"type": "http.response.body", "body": last, "more_body": False})
        self.is_whole = True
