"""One load of a checkpoint for all requests that wait for it.

Without it, requests would queue behind requests for other checkpoints and, with room for few, find their checkpoint
evicted again. A load goes on after a hang-up, because the next request needs it too.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

from deploy.ray.resident import Resident


class SharedLoad:
    """`find` loads or finds the checkpoint. `on_over` is called once all waiting requests use it."""

    def __init__(self, find: Callable[[], Awaitable[Resident]], *, on_over: Callable[[], None]) -> None:
        self._find = find
        self._on_over = on_over
        self._num_waiting = 0
        self._has_left = asyncio.Event()
        self._found: asyncio.Future[Resident] = asyncio.get_running_loop().create_future()
        self._found.add_done_callback(lambda found: found.exception())  # retrieved, in case nobody waits any more
        self._task = asyncio.create_task(self._run())

    async def join(self, stack: ExitStack) -> Resident:
        """The checkpoint, in use until `stack` is closed. Raises the errors of `find`."""
        self._num_waiting += 1
        try:
            resident = await asyncio.shield(self._found)
            stack.enter_context(resident.in_use())
            return resident
        finally:
            self._num_waiting -= 1
            self._has_left.set()

    async def _run(self) -> None:
        try:
            resident = await self._find()
            with resident.in_use():  # before another load can evict it
                self._found.set_result(resident)
                while self._num_waiting:
                    self._has_left.clear()
                    await self._has_left.wait()
        except Exception as error:
            self._found.set_exception(error)
        finally:
            self._on_over()
