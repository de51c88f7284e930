"""Connect a command to a service: a server, or the service in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from service.commandline.errors import CommandError, ExitStatus

TIMEOUT = httpx2.Timeout(10.0, read=600.0, pool=None)
"""In seconds. The read timeout is long because a server queues requests and ends those that take too long by itself."""


@asynccontextmanager
async def connect(
    *, url: str | None, api_key: str | None, model: str | None, needs_workers: bool
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the server at `url`, or of a service in this process if `url` is None.

    The latter loads the checkpoint first if workers are needed. Raises CommandError if that fails or `url` is invalid.
    """
    if url is None:
        from service.commandline.in_process import in_process_client  # this import takes seconds

        async with in_process_client(model, needs_workers=needs_workers) as http:
            yield http
    else:
        headers = {b"Authorization": f"Bearer {api_key}".encode(errors="surrogateescape")} if api_key else {}
        try:
            http = httpx2.AsyncClient(
                base_url=url if "://" in url else f"http://{url}", headers=headers, timeout=TIMEOUT
            )
        except httpx2.InvalidURL as error:
            raise CommandError(f"--url {url}: {error}", status=ExitStatus.USAGE) from error
        if http.base_url.scheme not in ("http", "https") or not http.base_url.host:
            raise CommandError(
                f"--url {url!r} is not the address of a server, such as localhost:8000 or https://example.com",
                status=ExitStatus.USAGE,
            )
        async with http:
            yield http
