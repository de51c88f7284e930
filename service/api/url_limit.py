"""URLs that are too long to be parsed: their query is dropped, and the route refuses the request."""

from starlette.exceptions import HTTPException
from starlette.types import Scope

URL_TOO_LONG = "kakehashi.url_too_long"
"""A key in the ASGI scope's extensions, set if `service/api/connection.py` has dropped the query."""
MAX_URL_BYTES = (64 << 10) - 1
"""The longest URL that the parser accepts."""
URL_DETAIL = f"the URL is longer than {MAX_URL_BYTES} bytes: use POST, with the text in the body"


def check_url(scope: Scope) -> None:
    """Raises HTTPException. Like any head over a limit, the request ends its connection."""
    if URL_TOO_LONG in scope.get("extensions", ()):
        raise HTTPException(431, URL_DETAIL, {"Connection": "close"})
