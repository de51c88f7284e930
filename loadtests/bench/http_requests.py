"""Requests as bytes."""

import json
from collections.abc import Mapping

TRANSLATE = "/v1/translations"
JSON = "application/json"


def encode_request(
    method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None, is_chunked: bool = False
) -> tuple[bytes, bytes]:
    """The head and the body. `body` is bytes that are sent as they are, or an object that is sent as JSON."""
    payload = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    given = {"Host": "localhost", **({} if body is None else {"Content-Type": JSON}), **(headers or {})}
    if is_chunked:
        given["Transfer-Encoding"] = "chunked"
        payload = b"%x\r\n%b\r\n0\r\n\r\n" % (len(payload), payload)
    elif body is not None:
        given["Content-Length"] = str(len(payload))
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode(), payload
