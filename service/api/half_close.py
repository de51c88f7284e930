"""A client that has ended its own direction of the connection: it is gone, or it only has nothing more to send.

Both begin with the same FIN. Writing tells them apart: a peer that has closed the connection replies to the first
write with a reset, and the next one fails. Before the answer has begun, `service/api/connection.py` writes interim
responses; a stream on its way writes comments (`service/api/sse.py`).
"""

import asyncio

from starlette.types import Scope

EXTENSION = "kakehashi.half_closed"
"""In the ASGI scope's extensions: an `asyncio.Event`, set when the client ends its direction."""
PROBE_PAUSES_SECONDS = (0.1, 0.4, 1.5)
"""Between the writes that follow a FIN, the first of which is made at once.

The later ones are for long round trips. There are four writes in all, because Go's HTTP client gives up after five
interim responses, and one may have gone out for `Expect: 100-continue`.
"""


def half_closed_event(scope: Scope) -> asyncio.Event:
    """Never set where the server is not ours and does not report half-closed connections."""
    event = scope.get("extensions", {}).get(EXTENSION)
    return event if isinstance(event, asyncio.Event) else asyncio.Event()
