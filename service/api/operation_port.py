"""A second port for operation: metrics and documentation are there only, and health is there, too.

Both ports belong to one server and one app; the address at which a request arrived tells them apart.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.docs_page import DESCRIPTION_PATH, PAGE_PATH
from service.api.errors import refuse
from service.api.middleware import PROBES

METRICS_PATH = "/metrics"
MOVED = frozenset({METRICS_PATH, DESCRIPTION_PATH, PAGE_PATH})
MOVED_BELOW = PAGE_PATH + "/"


class OperationPort:
    """ASGI middleware: 404 for paths that are at the other port."""

    def __init__(self, app: ASGIApp, *, port: int) -> None:
        self._app = app
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_here(scope):
            await refuse(scope, 404, "Not Found")(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_here(self, scope: Scope) -> bool:
        path, server = scope["path"], scope["server"]
        has_moved = path in MOVED or path.startswith(MOVED_BELOW)
        if server is not None and server[1] == self._port:
            return has_moved or path in PROBES
        return not has_moved
