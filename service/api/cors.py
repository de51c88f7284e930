"""Lets pages of other origins use the API from a browser: Starlette's CORS with this API's methods and headers."""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

METHODS = ("DELETE", "GET", "HEAD", "POST")
REQUEST_HEADERS = ("Authorization", "Cache-Control", "Content-Type", "X-Request-ID")
EXPOSED_HEADERS = ("Retry-After", "X-Request-ID")


class Cors(CORSMiddleware):
    def __init__(self, app: ASGIApp, *, origins: Collection[str]) -> None:
        """`origins` are spelled as browsers send them; `*` allows all."""
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=EXPOSED_HEADERS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """An empty answer with the headers that state what is allowed.

        A browser compares them itself, and Starlette's 400 is not a problem object.
        """
        headers = super().preflight_response(request_headers).headers
        return Response(headers={name: value for name, value in headers.items() if not name.startswith("content-")})
