"""Refuses requests for other hosts: 400.

A web page can make its own name resolve to this machine (DNS rebinding) and then read answers as if they were its own,
whatever CORS says. Its requests still name its own host, which gives them away.
"""

from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.errors import HostRefusedError, answer_error
from service.api.middleware import PROBES
from service.errors import quoted


class HostCheck:
    """ASGI middleware.

    Every browser sends `Host`, so a request without one comes from no page and is let through. Health and metrics are
    open to any host, because orchestrators and Prometheus use the addresses of machines.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str]) -> None:
        """`hosts` are names and addresses in lower case and without a port, which may be any."""
        self._app = app
        self._hosts = frozenset(host.encode() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_checked = scope["type"] == "http" and scope["path"] not in PROBES
        for name, value in scope["headers"] if is_checked else ():
            if name == b"host" and _without_port(value.lower()) not in self._hosts:
                named = quoted(value.decode("latin-1"))
                error = HostRefusedError(f"Host {named} is not served here; KAKEHASHI_ALLOWED_HOSTS lists the hosts")
                await answer_error(scope, error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _without_port(host: bytes) -> bytes:
    if host.startswith(b"["):  # an IPv6 address
        return host.partition(b"]")[0] + b"]"
    return host.partition(b":")[0]
