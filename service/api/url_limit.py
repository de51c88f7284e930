"""URLs that are too long to be parsed: their query is dropped, and a route that gets such a request refuses it."""

from starlette.exceptions import HTTPException
from starlette.types import Scope

URL_TOO_LONG = "kakehashi.url_too_long"
"""In the ASGI scope's extensions, where `service/api/connection.py` has dropped the query."""
MAX_URL_BYTES = (64 << 10) - 1
"""More than this the parser does not take."""
URL_DETAIL = f"the URL is longer than {MAX_URL_BYTES} bytes: use POST, with the text in the body"


def check_url(scope: Scope) -> None:
    """Raises HTTPException."""
    if URL_TOO_LONG in scope.get("extensions", ()):
        raise HTTPException(431, URL_DETAIL)
