"""Half-closed connections: the client has closed its direction, and is either gone or just has nothing more to send.

Both start with the same FIN. Writing distinguishes them: a peer that has closed the connection answers the first write
with a reset, and the next write fails. Before the answer begins, `service/api/connection.py` writes interim responses;
a running stream writes comments (`service/api/sse.py`).
"""

import asyncio

from starlette.types import Scope

EXTENSION = "kakehashi.half_closed"
"""The key of an `asyncio.Event` in the ASGI scope's extensions. Set when the client ends its direction."""
PROBE_PAUSES_SECONDS = (0.1, 0.4, 1.5)
"""The pauses between the writes after a FIN; the first write is immediate.

The later writes are for connections with long round trips. There are four writes in total, because Go's HTTP client
gives up after five interim responses, and one may have been sent for `Expect: 100-continue`.
"""


def half_closed_event(scope: Scope) -> asyncio.Event:
    """The event of a half-close. It is never set under a server that does not report half-closed connections."""
    event = scope.get("extensions", {}).get(EXTENSION)
    return event if isinstance(event, asyncio.Event) else asyncio.Event()
