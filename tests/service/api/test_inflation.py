"""Laws of compressed bodies: read like others, whatever way they are cut, and limited by what comes out."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Message

from service.api.errors import MalformedError
from service.api.inflation import InflatedBody, content_coding
from tests.support.asgi import JSON, Exchange, as_json, call
from tests.support.scripted_app import MAX_BODY_BYTES, ScriptedApp, scripted_app

GOOD = as_json({"text": "Hello", "source_lang": "en", "target_lang": "de"})
Compress = Callable[[bytes], bytes]


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


def members(data: bytes) -> bytes:
    return b"".join(gzip.compress(data[start : start + 7]) for start in range(0, len(data), 7))


GZIPPED = gzip.compress(GOOD, mtime=0)  # processes of one test run need equal parameters
CODED: list[tuple[str, Compress]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("GZip , identity", gzip.compress),
    ("gzip", members),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("deflate", lambda data: zlib.compress(data, level=0)),
    ("identity", bytes),
    ("", bytes),
]


async def send(served: ScriptedApp, coding: str, body: bytes, *, method: str = "POST", **headers: str) -> Exchange:
    given = JSON | {"content-length": str(len(body)), "content-encoding": coding} | headers
    return await call(served.app, method, "/v1/translations", body=body, headers=given)


def body_of(*pieces: bytes, coding: str, max_bytes: int = MAX_BODY_BYTES) -> InflatedBody:
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages[-1]["more_body"] = False

    async def receive() -> Message:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    return InflatedBody(receive, coding=coding, max_bytes=max_bytes)


async def read(body: InflatedBody) -> bytes:
    received, more = b"", True
    while more:
        message = await body.receive()
        received, more = received + message["body"], message["more_body"]
    assert (await body.receive())["type"] == "http.disconnect"
    return received


@pytest.mark.parametrize(("coding", "compress"), CODED)
async def test_a_compressed_body_is_read(scripted: ScriptedApp, coding: str, compress: Compress):
    answer = await send(scripted, coding, compress(GOOD))
    assert (answer.status, answer.json["translations"][0]["text"]) == (200, "Hello")


@pytest.mark.parametrize("num_bytes", [1, 2, 10])
@pytest.mark.parametrize(("coding", "compress"), [(coding, each) for coding, each in CODED if each is not bytes][3:])
async def test_a_compressed_body_may_be_cut_anywhere(coding: str, compress: Compress, num_bytes: int):
    data = compress(GOOD)
    pieces = [data[start : start + num_bytes] for start in range(0, len(data), num_bytes)]
    assert await read(body_of(*pieces, b"", coding=coding)) == GOOD


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "deflate, gzip", "x" * 10_000])
async def test_another_coding_is_refused_by_its_header(scripted: ScriptedApp, coding: str):
    answer = await send(scripted, coding, GOOD)
    assert (answer.status, answer.json["type"]) == (415, "urn:kakehashi:problem:unsupported-media-type")
    assert answer.json["detail"].startswith(f"Content-Encoding '{coding[:90]}")
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    assert len(answer.body) < 500


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("gzip", GOOD),
        ("gzip", GZIPPED[:-1]),
        ("gzip", GZIPPED + b"more"),
        ("gzip", GZIPPED[:-8] + bytes(8)),
        ("gzip", zlib.compress(GOOD)),
        ("deflate", GZIPPED),
        ("deflate", zlib.compress(GOOD)[:-1]),
        ("deflate", zlib.compress(GOOD) + b"more"),
        ("deflate", raw_deflate(GOOD)[:-1]),
        ("deflate", b"\x78"),
    ],
)
async def test_data_that_cannot_be_inflated_is_malformed(scripted: ScriptedApp, coding: str, data: bytes):
    answer = await send(scripted, coding, data)
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "body")
    assert answer.json["detail"].startswith(f"body: not {coding}: ")


async def test_compressed_data_of_no_length_is_malformed():
    with pytest.raises(MalformedError, match="not gzip: its end is missing"):
        await read(body_of(b"", coding="gzip"))


@pytest.mark.parametrize(("coding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_the_limit_holds_for_what_is_inflated(scripted: ScriptedApp, coding: str, compress: Compress):
    assert (await send(scripted, coding, compress(GOOD.ljust(MAX_BODY_BYTES)))).status == 200
    answer = await send(scripted, coding, compress(GOOD.ljust(MAX_BODY_BYTES + 1)))
    assert (answer.status, answer.json["type"]) == (413, "urn:kakehashi:problem:too-large")
    assert answer.json["detail"] == f"the body is longer than {MAX_BODY_BYTES} bytes when it is inflated"


@pytest.mark.parametrize("num_members", [1, 50])
async def test_a_bomb_is_not_inflated_past_the_limit(num_members: int):
    bomb = gzip.compress(bytes(50_000_000 // num_members)) * num_members
    body = body_of(bomb, coding="gzip", max_bytes=1 << 20)
    tracemalloc.start()
    with pytest.raises(HTTPException, match="413"):
        await body.receive()
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 4 << 20


async def test_a_key_and_the_method_come_before_the_coding():
    keyed = scripted_app(api_keys="alice:s3cret")
    assert (await send(keyed, "br", GOOD)).status == 401
    assert (await send(keyed, "br", GOOD, method="PUT", authorization="Bearer s3cret")).status == 405


def test_several_headers_are_one_list():
    headers = Headers(raw=[(b"content-encoding", b"Identity, gzip"), (b"content-encoding", b"br")])
    assert content_coding(headers) == "gzip, br"
