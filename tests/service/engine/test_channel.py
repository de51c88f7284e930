"""Laws of the channel: messages arrive whole and in order, and the death of the other side is noticed."""

import asyncio
import socket
from collections.abc import Iterator
from threading import Thread

import pytest

from service.engine.channel import Channel, frame, read_payloads


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours), theirs


def test_payloads_arrive_whole_however_they_are_cut(ends: tuple[Channel, socket.socket]):
    channel, other = ends
    payloads = [b"", b"a", bytes(range(256)) * 1000]
    data = b"".join(frame(payload) for payload in payloads)
    sender = Thread(
        target=lambda: [other.sendall(data[start : start + 70_001]) for start in range(0, len(data), 70_001)]
    )
    sender.start()
    received: list[bytes] = []
    while len(received) < len(payloads):
        received += channel.receive(block=True)
    sender.join()
    assert received == payloads


def test_receive_without_blocking_returns_what_is_there(ends: tuple[Channel, socket.socket]):
    channel, other = ends
    assert channel.receive(block=False) == []
    other.sendall(frame(b"one") + frame(b"two")[:3])
    assert channel.receive(block=False) == [b"one"]


def test_receive_says_that_the_other_end_is_gone(ends: tuple[Channel, socket.socket]):
    channel, other = ends
    other.close()
    with pytest.raises(EOFError):
        channel.receive(block=True)


async def test_all_that_was_sent_before_the_end_is_read(ends: tuple[Channel, socket.socket]):
    channel, other = ends
    reader, writer = await asyncio.open_connection(sock=other.dup())
    channel.send(b"last")
    channel.send(b"words")
    channel._connection.shutdown(socket.SHUT_RDWR)
    assert [payload async for payload in read_payloads(reader)] == [b"last", b"words"]
    writer.close()
