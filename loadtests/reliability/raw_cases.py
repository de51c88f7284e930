"""Seeded cases of bytes that no HTTP library would send, and of connections that end in every way.

A case begins as a valid request to one of the routes; up to three distortions of its head, its body or its framing
follow, and one way of ending the connection.
"""

import gzip
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random
from typing import Literal

from loadtests.bench.http_requests import TRANSLATE, encode_request

Ending = Literal["read", "half-close", "close", "reset"]
ENDINGS: tuple[Ending, ...] = ("read", "read", "read", "half-close", "close", "reset")
MAX_DISTORTIONS = 3
MAX_REPEATED_BYTES = 64 << 10

TEXT = "The old man went to the market."
TEXTS: tuple[object, ...] = (TEXT, "", "x" * 3_000, "日本語 👩‍👩‍👧", [TEXT, None, "\t"], {"a": 1}, 7, [[]], ["x"] * 200)
VALID: tuple[tuple[str, str, object], ...] = (
    ("POST", TRANSLATE, {"text": TEXT, "source_lang": "en", "target_lang": "de"}),
    ("POST", TRANSLATE, {"text": TEXT, "source_lang": "en", "target_lang": ["fr", "de"], "stream": True}),
    ("GET", "/v1/translations/stream?text=Hello&target_lang=de&source_lang=en", None),
    ("POST", "/v1/explain", {"text": TEXT, "source_lang": "en", "target_lang": "de"}),
    ("POST", "/v1/detect", {"text": [TEXT, "Guten Morgen"]}),
    ("POST", "/translate", {"q": TEXT, "source": "en", "target": "de"}),
    ("POST", "/v2/translate", {"text": [TEXT], "target_lang": "DE"}),
    ("POST", "/generate_stream", {"inputs": TEXT, "parameters": {"src_lang": "en", "tgt_lang": "de"}}),
    ("POST", "/", {"inputs": TEXT, "parameters": {"src_lang": "en", "tgt_lang": "de"}}),
    ("GET", "/v1/languages", None),
    ("GET", "/metrics", None),
    ("GET", "/", None),
    ("GET", "/no/such/path", None),
)
METHODS = (b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"get", b"A" * 40, b"", b"\x00", "GÉT".encode())
TARGETS = (b"*", b"http://elsewhere/", b"//", b"/%00", b"/%zz", b"/../../etc/passwd", b"/\xff", b"/" + b"a" * 70_000)
VERSIONS = (b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9.9", b"HTTP/", b"ICY/1.1", b"")
HEADERS = (
    b"Content-Length: 5",
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 0x10",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity",
    b"Content-Encoding: gzip",
    b"Content-Encoding: br",
    b"Content-Type: application/x-www-form-urlencoded",
    b"Content-Type: multipart/form-data; boundary=x",
    b"Content-Type: \xff",
    b"Expect: 100-continue",
    b"Connection: close",
    b"Connection: upgrade\r\nUpgrade: websocket",
    b"Upgrade: h2c",
    b"Host: \x00",
    b"Host: a\r\nHost: b",
    b"Bad Name: 1",
    b": no name",
    b"no colon",
    b" folded: 1",
    b"X-Request-ID: " + b"i" * 200,
    b"Authorization: Bearer \xe9",
    b"Accept-Language: " + b"a," * 5_000,
    b"X-Long: " + b"x" * 200_000,
    b"\r\n".join(b"X-%d: 1" % number for number in range(150)),
)
BODIES = (
    b"",
    b"{",
    b"null",
    b"[" * 50_000,
    b'{"a":' * 20_000,
    b'{"text": "\\ud800", "target_lang": "de"}',
    b'{"text": "x", "target_lang": "de", "temperature": 1e999}',
    b'{"text": "x", "target_lang": "de", "top_k": ' + b"9" * 5_000 + b"}",
    b'{"text": NaN}',
    b"\xff\xfe\x00",
    b"q=%zz&&&=&q",
    gzip.compress(b"x" * (4 << 20)),
    gzip.compress(b"{}")[:-5],
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"y" * (2 << 20),
)
EXTENSIONS = (b"", b"", b"; a=b", b';a="b;c"', b";" + b"e" * 3_000, b";" + b"e" * 300_000, b";\x00", b" ;;")
TRAILERS = (
    b"",
    b"X-T: 1\r\n",
    b"Content-Length: 5\r\nAuthorization: Bearer x\r\n",
    b"X-T: " + b"t" * 3_000 + b"\r\n",
    b"X-T: " + b"t" * 300_000 + b"\r\n",
    b"".join(b"X-%d: 1\r\n" % number for number in range(150)),
    b" folded\r\n",
    b"no colon\r\n",
)
CHUNK_BYTES = (1, 7, 1_000, 100_000)
MAX_CHUNKS = 8
ENDLESS_BYTES = 2 << 20
"""More than the server's limits on anything between two pieces of a body; the end of the request never comes."""


@dataclass(frozen=True, slots=True)
class RawCase:
    """Bytes to send in pieces with pauses between them, and how the client ends the connection."""

    pieces: tuple[bytes, ...]
    pause_seconds: float
    ending: Ending


@dataclass(frozen=True, slots=True)
class _Draft:
    head: bytes
    body: bytes


def raw_case(random: Random) -> RawCase:
    method, path, body = random.choice(VALID)
    if isinstance(body, dict) and random.random() < 0.3:
        body = body | {random.choice(["text", "q", "inputs", "target_lang", "zz"]): random.choice(TEXTS)}
    draft = _Draft(*encode_request(method, path, body, is_chunked=body is not None and random.random() < 0.2))
    for _ in range(random.randint(0, MAX_DISTORTIONS)):
        draft = random.choice(DISTORTIONS)(draft, random)
    data = draft.head + draft.body
    if len(data) < MAX_REPEATED_BYTES and random.random() < 0.1:
        data *= random.randint(2, 40)
    if random.random() < 0.15:
        data = data[: random.randrange(len(data) + 1)]
    return RawCase(_pieces(data, random), random.choice([0.0, 0.0, 0.01, 0.1]), random.choice(ENDINGS))


def _pieces(data: bytes, random: Random) -> tuple[bytes, ...]:
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.choice([0, 0, 1, 4])))
    return tuple(data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True))


def _change_method(draft: _Draft, random: Random) -> _Draft:
    return replace(draft, head=random.choice(METHODS) + b" " + draft.head.partition(b" ")[2])


def _change_target(draft: _Draft, random: Random) -> _Draft:
    method, _, rest = draft.head.partition(b" ")
    return replace(draft, head=b" ".join([method, random.choice(TARGETS), rest.partition(b" ")[2]]))


def _change_version(draft: _Draft, random: Random) -> _Draft:
    return replace(draft, head=draft.head.replace(b"HTTP/1.1", random.choice(VERSIONS), 1))


def _add_header(draft: _Draft, random: Random) -> _Draft:
    line, _, rest = draft.head.partition(b"\r\n")
    return replace(draft, head=line + b"\r\n" + random.choice(HEADERS) + b"\r\n" + rest)


def _change_line_ends(draft: _Draft, random: Random) -> _Draft:
    return replace(draft, head=draft.head.replace(b"\r\n", random.choice([b"\n", b"\r", b"\r\n\r\n", b"\n\r"])))


def _change_body(draft: _Draft, random: Random) -> _Draft:
    body = random.choice(BODIES)
    length = b"Content-Length: %d" % len(body)
    lines = [length if line.startswith(b"Content-Length") else line for line in draft.head.split(b"\r\n")]
    return _Draft(b"\r\n".join(lines), body)


def _change_chunks(draft: _Draft, random: Random) -> _Draft:
    """Chunks with extensions, and trailers; sometimes one of them has no end."""
    lines = [line for line in draft.head.split(b"\r\n") if not line.startswith((b"Content-Length", b"Transfer-"))]
    head = b"\r\n".join([lines[0], b"Transfer-Encoding: chunked", *lines[1:]])
    size, extension = random.choice(CHUNK_BYTES), random.choice(EXTENSIONS)
    cuts = range(size, min(len(draft.body), MAX_CHUNKS * size), size)
    pieces = [draft.body[begin:end] for begin, end in pairwise([0, *cuts, len(draft.body)])]
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces if piece)
    match random.randrange(4):
        case 0:
            return _Draft(head, chunks + b"1;" + b"e" * ENDLESS_BYTES)
        case 1:
            return _Draft(head, chunks + b"0\r\n" + random.choice(TRAILERS) + b"X-T: " + b"t" * ENDLESS_BYTES)
    return _Draft(head, chunks + b"0%b\r\n%b\r\n" % (extension, random.choice(TRAILERS)))


def _change_bytes(draft: _Draft, random: Random) -> _Draft:
    data = bytearray(draft.head + draft.body)
    for _ in range(random.randint(1, 5)):
        data[random.randrange(len(data))] = random.randrange(256)
    return _Draft(bytes(data[: len(draft.head)]), bytes(data[len(draft.head) :]))


def _add_bytes(draft: _Draft, random: Random) -> _Draft:
    place = random.randrange(len(draft.head))
    return replace(draft, head=draft.head[:place] + random.randbytes(random.randint(1, 300)) + draft.head[place:])


DISTORTIONS: tuple[Callable[[_Draft, Random], _Draft], ...] = (
    _change_method,
    _change_target,
    _change_version,
    _add_header,
    _add_header,
    _change_line_ends,
    _change_body,
    _change_body,
    _change_chunks,
    _change_bytes,
    _add_bytes,
)
