"""`Authorization: Bearer <key>`: what stands in front of the native routes where keys are set.

Whatever is wrong, a missing key, a wrong one or one in another place, the refusal is the same 401.
"""

import re
from collections.abc import Sequence
from functools import partial

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.api_keys import ApiKeys
from service.api.errors import KeyRefusedError
from service.api.openapi import DocumentedRoute, Guard
from service.api.record import record_of

CREDENTIALS = re.compile(rb"bearer +(.+)", re.IGNORECASE)


class BearerKeys:
    """ASGI around a route, or the part of one that is for requests with a key. Raises KeyRefusedError."""

    def __init__(self, app: ASGIApp, *, keys: ApiKeys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = self._keys.find(_presented(scope))
        if name is None:
            raise KeyRefusedError("a key is needed in the header Authorization: Bearer KEY")
        record_of(scope).key = name
        await self._app(scope, receive, send)


class UnknownPaths(Route):
    """Matched where no other route has the path: a partial match is the router's last choice, the first one wins."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        return Match.NONE if match is Match.NONE else Match.PARTIAL, child_scope


def behind_bearer(routes: Sequence[DocumentedRoute], keys: ApiKeys, *, prefix: str) -> list[BaseRoute]:
    """All `routes`, and the paths below `prefix` that are none of them: which exist is for those with a key to know.

    As they are where no key is required.
    """
    if not keys.is_required:
        return list(routes)
    wrap = partial(BearerKeys, keys=keys)
    guard = Guard(wrap, scheme_name="bearer", scheme={"type": "http", "scheme": "bearer"})
    return [*(route.behind(guard) for route in routes), UnknownPaths(prefix + "/{path:path}", wrap(_not_found))]


async def _not_found(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise HTTPException(404)


def _presented(scope: Scope) -> bytes | None:
    """Nothing where there are two headers: a proxy in front may have read the other one."""
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    match = CREDENTIALS.fullmatch(values[0]) if len(values) == 1 else None
    return None if match is None else match[1]
