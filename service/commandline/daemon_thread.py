"""Blocking reads and writes in daemon threads, which do not delay the end of the process."""

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

READ_BYTES = 1 << 16

T = TypeVar("T")


async def read_some(descriptor: int) -> bytes:
    """Wait for data and return what is available; empty at the end of the file."""
    return await _in_thread(lambda: os.read(descriptor, READ_BYTES))


async def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`. Raises BrokenPipeError if the reader is gone."""
    await _in_thread(lambda: _write(descriptor, memoryview(data)))


async def _in_thread(call: Callable[[], T]) -> T:
    """Run `call` in a daemon thread.

    The process joins the threads of `asyncio.to_thread` at its end, and would hang on a terminal that sends nothing.
    """
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
