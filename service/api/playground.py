"""`GET /`: the playground, a page over the native API, and its files under `/playground/`.

The files are read once, at the start, and served from memory: 200, or 304 if the browser has them. They load nothing
from elsewhere, need no key, and have no inline scripts or styles, so that the policy can be strict.
"""

from collections.abc import Awaitable, Callable
from hashlib import sha256
from html import escape
from pathlib import Path
from string import Template

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from service.api.openapi import DocumentedRoute, Operation

DIRECTORY = Path(__file__).parent.parent / "playground"
INDEX = "index.html"
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {
    "Cache-Control": "no-cache",  # kept, and checked by its ETag at each visit
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
Endpoint = Callable[[Request], Awaitable[Response]]


class FileRoute(Route):
    """One of the page's files; `/` alone is described in OpenAPI."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        await super().handle(scope, receive, send)


def create_routes(*, max_text_characters: int, version: str) -> list[Route]:
    values = {"max_text_characters": str(max_text_characters), "version": escape(version)}
    index = Template((DIRECTORY / INDEX).read_text(encoding="utf-8")).substitute(values)
    operation = Operation(
        method="GET",
        path="/",
        tag="playground",
        summary="The playground",
        description="A page to translate with, and to see the model and the server work.",
        media_type=MEDIA_TYPES[".html"],
    )
    files = sorted(path for path in DIRECTORY.iterdir() if path.suffix in MEDIA_TYPES and path.name != INDEX)
    return [
        DocumentedRoute(operation, _endpoint(index.encode(), MEDIA_TYPES[".html"])),
        *(
            FileRoute(
                f"/playground/{path.name}", _endpoint(path.read_bytes(), MEDIA_TYPES[path.suffix]), methods=["GET"]
            )
            for path in files
        ),
    ]


def _endpoint(content: bytes, media_type: str) -> Endpoint:
    etag = f'"{sha256(content).hexdigest()[:32]}"'
    headers = HEADERS | {"ETag": etag}

    async def answer(request: Request) -> Response:
        known = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
        if etag in known:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=media_type)

    return answer
