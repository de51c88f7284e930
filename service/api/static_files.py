"""Files of a page, read once, at the start, and served from memory: 200, or 304 if the browser has them.

They load nothing from elsewhere and have no inline scripts or styles, so that the policy can be strict.
"""

from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

INDEX = "index.html"
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {
    "Cache-Control": "no-cache",  # kept, and checked by its ETag at each visit
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'",
}
Endpoint = Callable[[Request], Awaitable[Response]]


class FileRoute(Route):
    """A file that is not described in OpenAPI."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        await super().handle(scope, receive, send)


def file_routes(directory: Path, *, prefix: str) -> list[Route]:
    """A route below `prefix` for each file of the directory that a browser reads, except the index."""
    files = sorted(path for path in directory.iterdir() if path.suffix in MEDIA_TYPES and path.name != INDEX)
    return [
        FileRoute(f"{prefix}/{path.name}", file_endpoint(path.read_bytes(), MEDIA_TYPES[path.suffix]), methods=["GET"])
        for path in files
    ]


def file_endpoint(content: bytes, media_type: str) -> Endpoint:
    etag = f'"{sha256(content).hexdigest()[:32]}"'
    headers = HEADERS | {"ETag": etag}

    async def answer(request: Request) -> Response:
        known = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
        if etag in known:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=media_type)

    return answer
