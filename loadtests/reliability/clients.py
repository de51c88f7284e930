"""The kinds of clients that a server meets: good ones, and all others. Each call is one thing that such a client does.

A good client goes on until its request is ok, as refusals ask it to, and checks the translation.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from loadtests.bench.http_requests import TRANSLATE, encode_request
from loadtests.bench.loopback import HOST
from loadtests.reliability.http_replies import Replies, Reply
from loadtests.reliability.journal import ANY, Journal, Outcome
from loadtests.reliability.outcomes import MisbehaviourError, outcome_of, text_of
from loadtests.reliability.wire import Wire

LONGEST_WAIT_SECONDS = 2.0
"""The longest time that a refused client waits, whatever Retry-After says, so that all keep the server busy."""
HANG_SECONDS = 150.0
"""Longer than the server's own limit for a request."""
LARGE_BYTES = 2 << 20
UNREAD_SECONDS = 10.0
"""The longest time for which a client reads nothing: a closed window hides the end of a connection from it."""
POLL_SECONDS = 0.1
ESTABLISHED, CLOSE_WAIT = 1, 8  # states of TCP in Linux


@dataclass(frozen=True, slots=True)
class GoodRequest:
    body: dict[str, object]
    expected: str


@dataclass(slots=True)
class Scene:
    """Shared by all clients of one server."""

    port: int
    good: list[GoodRequest]
    journal: Journal
    is_over: bool = False


Exchange = Callable[[Wire, bytes, bytes], Awaitable[Reply]]
Client = Callable[[Scene, Random], Awaitable[None]]


async def plain(scene: Scene, random: Random) -> None:
    await _ask_until_ok(scene, random, _whole, stream=False)


async def streaming(scene: Scene, random: Random) -> None:
    await _ask_until_ok(scene, random, _whole, stream=True)


async def half_closed(scene: Scene, random: Random) -> None:
    async def exchange(wire: Wire, head: bytes, body: bytes) -> Reply:
        await wire.send(head + body)
        wire.half_close()
        return await wire.read_reply()

    await _ask_until_ok(scene, random, exchange, stream=random.random() < 0.5)


async def slow(scene: Scene, random: Random) -> None:
    """Sends its body and reads its answer little by little."""

    async def exchange(wire: Wire, head: bytes, body: bytes) -> Reply:
        await wire.send(head, *(body[begin : begin + 20] for begin in range(0, len(body), 20)), pause_seconds=0.05)
        while not (wire.replies and wire.replies[0].is_whole):
            if not await wire.read(400):
                raise ConnectionError("the server closed the connection before the end of its answer")
            await asyncio.sleep(0.02)
        return wire.replies[0]

    await _ask_until_ok(scene, random, exchange, stream=random.random() < 0.5)


async def retrying(scene: Scene, random: Random) -> None:
    """Gives up after a moment, and sends the same request again, as the official client of DeepL does."""
    good = random.choice(scene.good)
    request_id = scene.journal.new_id()
    async with Wire.open(scene.port) as wire:
        await wire.send(*_encode(good.body, request_id))
        await asyncio.sleep(random.uniform(0.0, 0.3))
    scene.journal.saw(request_id, *ANY)
    await _ask_until_ok(scene, random, _whole, stream=False, good=good)


async def hanging_up(scene: Scene, random: Random) -> None:
    """Goes away at any point: in the middle of its body, before the answer or in it; with a FIN or a reset."""
    request_id, is_reset = scene.journal.new_id(), random.random() < 0.5
    head, body = _encode(random.choice(scene.good).body | {"stream": random.random() < 0.5}, request_id)
    is_cut = random.random() < 0.3
    async with Wire.open(scene.port) as wire:
        await wire.send(head, body[: len(body) // 2] if is_cut else body)
        num_reads = 0 if is_cut else random.choice([0, 0, 1, 5])
        while num_reads and not (wire.replies and wire.replies[0].is_whole):
            await wire.read(200)
            num_reads -= 1
        if is_reset:
            wire.reset()
    possible: tuple[Outcome, ...] = ("cancelled", "refused") if is_cut else ANY
    scene.journal.saw(request_id, *possible, *(("unseen",) if is_reset else ()))


async def never_reading(scene: Scene, random: Random) -> None:
    """Requests a long stream and reads nothing, until the server ends the connection, or for long."""
    request_id = scene.journal.new_id()
    text = " ".join(str(random.choice(scene.good).body["text"]) for _ in range(30))
    fields = random.choice(scene.good).body | {"text": text, "stream": True, "return": ["top_tokens"]}
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        await loop.sock_connect(connection, (HOST, scene.port))
        await loop.sock_sendall(connection, b"".join(_encode(fields, request_id, Connection="close")))
        until = loop.time() + UNREAD_SECONDS
        while (state := _tcp_state(connection)) == ESTABLISHED and loop.time() < until:  # noqa: ASYNC110  # nothing announces it
            await asyncio.sleep(POLL_SECONDS)
        if state not in {ESTABLISHED, CLOSE_WAIT}:  # the server has reset the connection
            scene.journal.saw(request_id, "cancelled", "error")
            return
        replies = Replies()
        try:
            while data := await loop.sock_recv(connection, 1 << 16):
                replies.feed(data)
        except ConnectionResetError:  # perhaps by the system, which drops the end of an answer that was counted as sent
            scene.journal.saw(request_id, *ANY)
            return
    scene.journal.saw(request_id, outcome_of(replies.replies[0]))


async def oversized(scene: Scene, random: Random) -> None:
    """Sends more than a limit allows: a body, a head, a URL, characters or texts."""
    body = random.choice(scene.good).body
    large = body | {"text": "x" * LARGE_BYTES}
    path, fields, is_chunked, headers = random.choice(
        [
            (TRANSLATE, large, False, {}),
            (TRANSLATE, large, True, {}),
            (TRANSLATE, body | {"text": "x " * 30_000}, False, {}),
            (TRANSLATE, body | {"text": ["x"] * 1_000}, False, {}),
            (TRANSLATE, body, False, {"X-Long": "x" * 200_000}),
            (f"{TRANSLATE}?{'x' * 70_000}", body, False, {}),
        ]
    )
    request = encode_request("POST", path, fields, is_chunked=is_chunked, headers=headers)
    await _expect(scene, b"".join(request), {"invalid", "refused"})


async def bad(scene: Scene, random: Random) -> None:
    """Sends requests that are wrong in some way, and one that cannot be done in its time."""
    body = random.choice(scene.good).body
    method, path, fields, outcomes = random.choice(
        [
            ("POST", TRANSLATE, b"{", {"invalid"}),
            ("POST", TRANSLATE, body | {"target_lang": "zz"}, {"invalid"}),
            ("POST", TRANSLATE, body | {"text": [7] * 1_000}, {"invalid"}),
            ("PUT", TRANSLATE, body, {"invalid"}),
            ("POST", "/v1/nowhere", body, {"invalid"}),
            # ok if it joins an equal sentence that has just been decoded
            ("POST", TRANSLATE, body | {"timeout_s": 1e-6}, {"timeout", "ok"}),
        ]
    )
    await _expect(scene, b"".join(encode_request(method, path, fields)), {*outcomes, "refused"})


CLIENTS: MappingProxyType[str, Client] = MappingProxyType(
    {
        "good, plain": plain,
        "good, streaming": streaming,
        "half-closed": half_closed,
        "slow": slow,
        "retrying": retrying,
        "hanging up": hanging_up,
        "never reading": never_reading,
        "oversized": oversized,
        "bad": bad,
    }
)


async def act(scene: Scene, client: Client, random: Random) -> None:
    """One act of a client; whatever should not happen becomes a fault in the journal."""
    try:
        async with asyncio.timeout(HANG_SECONDS):
            await client(scene, random)
    except (TimeoutError, OSError, MisbehaviourError) as error:
        scene.journal.faults.append(f"a client ({client.__name__}): {error or 'no answer in time'!r}")


def _encode(body: dict[str, object], request_id: str, **headers: str) -> tuple[bytes, bytes]:
    return encode_request("POST", TRANSLATE, body, headers={"X-Request-ID": request_id, **headers})


async def _whole(wire: Wire, head: bytes, body: bytes) -> Reply:
    await wire.send(head + body)
    return await wire.read_reply()


async def _ask_until_ok(
    scene: Scene, random: Random, exchange: Exchange, *, stream: bool, good: GoodRequest | None = None
) -> None:
    good = good or random.choice(scene.good)
    while True:
        request_id = scene.journal.new_id()
        async with Wire.open(scene.port) as wire:
            reply = await exchange(wire, *_encode(good.body | {"stream": stream}, request_id))
        outcome = outcome_of(reply)
        scene.journal.saw(request_id, outcome)
        if outcome == "ok" and (text := text_of(reply)) != good.expected:
            raise MisbehaviourError(f"{request_id}: {text!r} in place of {good.expected!r}")
        if outcome != "refused" or scene.is_over:
            return
        await asyncio.sleep(min(float(reply.headers["retry-after"]), LONGEST_WAIT_SECONDS))


async def _expect(scene: Scene, request: bytes, outcomes: set[str]) -> None:
    async with Wire.open(scene.port) as wire:
        await wire.send(request)
        reply = await wire.read_reply()
    outcome = outcome_of(reply)
    scene.journal.saw(reply.headers["x-request-id"], outcome)
    if outcome not in outcomes:
        raise MisbehaviourError(f"the outcome is {outcome}, not one of {outcomes}")


def _tcp_state(connection: socket.socket) -> int:
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
