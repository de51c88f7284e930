"""Requests that the connection refuses: for their head, for the time it took, or for the number of connections.

The connection only notes the refusal in the scope, so that its answer has an id, a line in the log, a count in the
metrics and the form of its API, as any other answer has.
"""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.admission import RefusalObserver
from service.api.errors import PROBLEMS, TooManyConnectionsError, answer_error, refuse

EXTENSION = "kakehashi.refused_head"
"""In the ASGI scope's extensions: the RefusedHead."""
RefusedHead = HTTPException | TooManyConnectionsError


class HeadRefusals:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, observer: RefusalObserver) -> None:
        self._app = app
        self._observer = observer
        observer.expect_refusals(PROBLEMS[TooManyConnectionsError].slug)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused: RefusedHead | None = scope.get("extensions", {}).get(EXTENSION)
        if refused is None:
            await self._app(scope, receive, send)
            return
        if isinstance(refused, HTTPException):
            response = refuse(scope, refused.status_code, refused.detail)
        else:
            self._observer.on_refused(PROBLEMS[TooManyConnectionsError].slug)
            response = answer_error(scope, refused)
        response.headers["Connection"] = "close"
        await response(scope, receive, send)
