"""Answers requests that the connection refuses because of their head, its slow arrival or too many connections.

The connection only notes the refusal in the scope, so that the answer has an id, a line in the log, a count in the
metrics and the format of its API, like any other answer.
"""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.admission import RefusalObserver
from service.api.errors import PROBLEMS, TooManyConnectionsError, answer_error, refuse

EXTENSION = "kakehashi.refused_head"
"""The key of the RefusedHead in the ASGI scope's extensions."""
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
