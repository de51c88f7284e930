"""Blocking reads and writes that nobody has to wait for at the end of the process."""

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

READ_BYTES = 1 << 16

T = TypeVar("T")


async def read_some(descriptor: int) -> bytes:
    """What there is, once there is something; empty at the end."""
    return await _in_thread(lambda: os.read(descriptor, READ_BYTES))


async def write_all(descriptor: int, data: bytes) -> None:
    """Raises BrokenPipeError where nobody reads any more."""
    await _in_thread(lambda: _write(descriptor, memoryview(data)))


async def _in_thread(call: Callable[[], T]) -> T:
    """The threads of `asyncio.to_thread` are joined at the end, which a terminal that sends nothing would hold up."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: OSError | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, raised = None, None
        try:
            result = call()
        except OSError as error:
            raised = error
        with suppress(RuntimeError):  # the loop is closed: the command has ended
            loop.call_soon_threadsafe(settle, result, raised)

    threading.Thread(target=run, daemon=True).start()
    return await done


def _write(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
