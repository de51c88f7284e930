"""Writes to Redis in the background: outputs are queued, and one task writes them in batches.

No request ever waits for a write. An output that does not fit in the queue is dropped, and so is one that arrives while
the circuit is open.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from service.cache.circuit import Circuit, CircuitOpenError, OperationFailedError
from service.cache.observer import CacheObserver, WriteResult
from service.cache.redis_client import RedisClient, execute, redis_key, used_memory_bytes
from service.cache.values import OutputKey, pack_value

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 1.0
"""For one batch. No request waits for it, so it may take longer than a lookup."""
MAX_BATCH_BYTES = 1 << 20
FLUSH_SECONDS = 1.0
MEASURE_EVERY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class _Write:
    key: OutputKey
    output: bytes | None
    """None removes the key."""

    @property
    def num_bytes(self) -> int:
        return len(self.output or b"")


class RedisWriter:
    def __init__(
        self,
        client: RedisClient,
        *,
        ttl_seconds: int,
        max_pending_bytes: int,
        observer: CacheObserver,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._ttl_seconds = ttl_seconds
        self._max_pending_bytes = max_pending_bytes
        self._observer = observer
        self._clock = clock
        self._circuit = Circuit(
            "write", timeout_seconds=TIMEOUT_SECONDS, max_concurrent=1, observer=observer, clock=clock
        )
        self._queue: deque[_Write] = deque()
        self._num_pending_bytes = 0  # queued or being written
        self._changed = asyncio.Event()
        self._is_closing = False
        self._task: asyncio.Task[None] | None = None
        self._measure_at = 0.0

    def start(self) -> None:
        self._measure_at = self._clock()
        self._task = asyncio.create_task(self._run())

    def put(self, key: OutputKey, output: bytes) -> None:
        if self._is_closing or self._circuit.is_pausing or not self._has_room(len(output)):
            self._count(1, "dropped")
        else:
            self._push(_Write(key, output))

    def remove(self, key: OutputKey) -> None:
        """Queue the removal of a key, ahead of later outputs under it."""
        if not self._is_closing and not self._circuit.is_pausing:
            self._push(_Write(key, None))

    async def aclose(self) -> None:
        """Write what is queued, for FLUSH_SECONDS at most; the rest is dropped."""
        self._is_closing = True
        self._changed.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=FLUSH_SECONDS)
            self._task.cancel()
            await asyncio.wait([self._task], timeout=FLUSH_SECONDS)
        self._count(sum(write.output is not None for write in self._queue), "dropped")
        self._queue.clear()

    def _has_room(self, num_bytes: int) -> bool:
        return self._num_pending_bytes + num_bytes <= self._max_pending_bytes

    def _push(self, write: _Write) -> None:
        self._queue.append(write)
        self._num_pending_bytes += write.num_bytes
        self._changed.set()

    async def _run(self) -> None:
        await self._measure()  # this also opens a connection for the first lookup
        while True:
            while not self._queue:
                if self._is_closing:
                    return
                self._changed.clear()
                await self._changed.wait()
            batch = self._take()
            await self._write(batch)
            self._num_pending_bytes -= sum(write.num_bytes for write in batch)
            await self._measure()

    def _take(self) -> list[_Write]:
        """The next writes, at least one, of up to MAX_BATCH_BYTES together."""
        batch = [self._queue.popleft()]
        num_bytes = batch[0].num_bytes
        while self._queue and (num_bytes := num_bytes + self._queue[0].num_bytes) <= MAX_BATCH_BYTES:
            batch.append(self._queue.popleft())
        return batch

    async def _write(self, batch: Sequence[_Write]) -> None:
        num_values = sum(write.output is not None for write in batch)
        try:
            replies = await self._circuit.run(lambda: self._send(batch))
        except CircuitOpenError:
            self._count(num_values, "dropped")
        except OperationFailedError:
            self._count(num_values, "error")
        else:
            pairs = zip(batch, replies, strict=True)
            num_failed = sum(write.output is not None and isinstance(reply, Exception) for write, reply in pairs)
            self._count(num_values - num_failed, "ok")
            self._count(num_failed, "error")

    async def _send(self, batch: Sequence[_Write]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for write in batch:
            if write.output is None:
                pipeline.delete(redis_key(write.key.digest))
            else:
                value = pack_value(write.key, write.output)
                pipeline.set(redis_key(write.key.digest), value, ex=self._ttl_seconds)
        return await execute(pipeline)

    def _count(self, num_values: int, result: WriteResult) -> None:
        if num_values:
            self._observer.on_redis_writes(result, num_values)

    async def _measure(self) -> None:
        """Report the memory use of Redis periodically; a failure, such as a forbidden INFO, reports nothing."""
        if self._clock() < self._measure_at or self._circuit.is_pausing:
            return
        self._measure_at = self._clock() + MEASURE_EVERY_SECONDS
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                num_bytes = await used_memory_bytes(self._client)
        except Exception as error:
            logger.debug("redis: its memory could not be read: %s", type(error).__name__)
        else:
            self._observer.on_memory_use("redis", num_bytes)
