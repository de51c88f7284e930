"""Refuses work for web pages of other sites: 400, unless CORS allows their origin.

CORS only keeps the answer from such a page: an image, a form or an EventSource makes the server work all the same.
Browsers mark these requests with `Sec-Fetch-Site: cross-site`, which pages cannot change. Programs do not send it.
"""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import Scope

from service.api.errors import CrossSiteError


def check_site(scope: Scope, *, origins: Collection[str]) -> None:
    """Raises CrossSiteError. `origins` are those that CORS allows; `*` allows all."""
    headers = Headers(scope=scope)
    if headers.get("sec-fetch-site") != "cross-site" or "*" in origins:
        return
    if headers.get("origin") not in origins:
        raise CrossSiteError(
            "a page of another site may not use this server; KAKEHASHI_CORS_ORIGINS lists the origins that may"
        )
