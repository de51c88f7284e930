"""One load of a checkpoint for all requests that wait for it.

They would otherwise stand in line behind those for other checkpoints, and where there is room for few, each would find
its checkpoint evicted again. The load goes on when they hang up: who asks next needs it too.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

from deploy.ray.resident import Resident


class SharedLoad:
    """`find` loads, or finds; `on_over` is called when the checkpoint is there and in use by all who waited."""

    def __init__(self, find: Callable[[], Awaitable[Resident]], *, on_over: Callable[[], None]) -> None:
        self._find = find
        self._on_over = on_over
        self._num_waiting = 0
        self._has_left = asyncio.Event()
        self._found: asyncio.Future[Resident] = asyncio.get_running_loop().create_future()
        self._found.add_done_callback(lambda found: found.exception())  # nobody may be there to see it
        self._task = asyncio.create_task(self._run())

    async def join(self, stack: ExitStack) -> Resident:
        """In use until `stack` is closed. Raises what `find` raises."""
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
            with resident.in_use():  # at once, before another load can evict it
                self._found.set_result(resident)
                while self._num_waiting:
                    self._has_left.clear()
                    await self._has_left.wait()
        except Exception as error:
            self._found.set_exception(error)
        finally:
            self._on_over()
