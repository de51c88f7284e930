"""Checks keys in the Authorization header in front of an API's routes: `Authorization: Bearer KEY`, or another scheme.

The refusal is the same for a missing key, a wrong key and a key in another place.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.api_keys import ApiKeys
from service.api.errors import KeyRefusedError
from service.api.openapi import DocumentedRoute, Guard
from service.api.record import record_of


@dataclass(frozen=True, slots=True)
class Scheme:
    """`documented` is the scheme's Security Scheme Object in OpenAPI."""

    name: str
    documented: Mapping[str, str]


BEARER = Scheme("Bearer", {"type": "http", "scheme": "bearer"})


class HeaderKeys:
    """ASGI around a route, or around the part of a route that needs a key. Raises KeyRefusedError."""

    def __init__(self, app: ASGIApp, *, keys: ApiKeys, scheme: Scheme = BEARER) -> None:
        self._app = app
        self._keys = keys
        self._scheme = scheme
        self._credentials = re.compile(re.escape(scheme.name).encode() + rb" +(.+)", re.IGNORECASE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = self._keys.find(self._presented(scope))
        if key is None:
            raise KeyRefusedError(f"a key is needed in the header Authorization: {self._scheme.name} KEY")
        record_of(scope).admit(key)
        await self._app(scope, receive, send)

    def _presented(self, scope: Scope) -> bytes | None:
        """The key that was sent. Two headers count as none: a proxy in front may have read the other one."""
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        match = self._credentials.fullmatch(values[0]) if len(values) == 1 else None
        return None if match is None else match[1]


class UnknownPaths(Route):
    """Matches paths that no other route has.

    The match is partial: the router takes the first partial match, and only if no route matches fully.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        return Match.NONE if match is Match.NONE else Match.PARTIAL, child_scope


def behind_keys(
    routes: Sequence[DocumentedRoute], keys: ApiKeys, *, scheme: Scheme = BEARER, prefix: str | None = None
) -> list[BaseRoute]:
    """Put `routes` behind keys, and unknown paths below `prefix`, so that only clients with a key learn which exist.

    If no key is required, the routes are returned unchanged.
    """
    if not keys.is_required:
        return list(routes)
    wrap = partial(HeaderKeys, keys=keys, scheme=scheme)
    guard = Guard(wrap, scheme_name=scheme.name.lower(), scheme=scheme.documented)
    guarded: list[BaseRoute] = [route.behind(guard) for route in routes]
    return guarded if prefix is None else [*guarded, UnknownPaths(prefix + "/{path:path}", wrap(_not_found))]


async def _not_found(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise HTTPException(404)
