"""The second tier: encoder outputs in Redis, which all replicas share and which outlives them.

A lookup of any number of keys is one round trip under a time limit of milliseconds. A Redis that fails, is full, slow
or gone never raises an error here: the lookup is a miss, and the encoder runs.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from service.cache.circuit import Circuit, CircuitOpenError, OperationFailedError
from service.cache.observer import CacheObserver
from service.cache.redis_client import RedisClient, close, execute, redis_key
from service.cache.redis_writer import RedisWriter
from service.cache.values import DamagedValueError, OutputKey, unpack_value

MAX_LOOKUP_BYTES = 4 << 20
"""Read by one lookup at most: more would exceed its time limit even on a healthy Redis."""
MAX_CONCURRENT_LOOKUPS = 16
"""This is also the largest number of connections, however many requests arrive at once."""


class RedisTier:
    """Owns and closes `client`."""

    def __init__(
        self,
        client: RedisClient,
        *,
        ttl_seconds: int,
        timeout_seconds: float,
        max_pending_bytes: int,
        observer: CacheObserver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._reads = Circuit(
            "read",
            timeout_seconds=timeout_seconds,
            max_concurrent=MAX_CONCURRENT_LOOKUPS,
            observer=observer,
            clock=clock,
        )
        self._writer = RedisWriter(
            client, ttl_seconds=ttl_seconds, max_pending_bytes=max_pending_bytes, observer=observer, clock=clock
        )
        self._observer = observer

    def start(self) -> None:
        """Start the writer; call it in a running event loop."""
        self._writer.start()

    async def find(self, keys: Sequence[OutputKey]) -> dict[OutputKey, bytes]:
        """The outputs that Redis has. Raises only CancelledError."""
        asked = _first_within_limit(keys)
        if not asked:
            return {}
        began_at = time.monotonic()
        try:
            replies = await self._reads.run(lambda: self._get(asked))
        except CircuitOpenError:
            return {}
        except OperationFailedError:
            self._observer.on_redis_lookup(began_at=began_at, num_hits=0, num_misses=0, num_errors=len(asked))
            return {}
        outputs: dict[OutputKey, bytes] = {}
        num_errors = 0
        for key, reply in zip(asked, replies, strict=True):
            if isinstance(reply, Exception):
                num_errors += 1
            elif reply is not None and (output := self._unpack(key, reply)) is not None:
                outputs[key] = output
        num_misses = len(asked) - len(outputs) - num_errors
        self._observer.on_redis_lookup(
            began_at=began_at, num_hits=len(outputs), num_misses=num_misses, num_errors=num_errors
        )
        return outputs

    def put(self, key: OutputKey, output: bytes) -> None:
        """Queue `output` for Redis, or drop it; never waits or raises."""
        self._writer.put(key, output)

    async def aclose(self) -> None:
        """Write what is queued, for a second at most, and close all connections; never raises."""
        await self._writer.aclose()
        await close(self._client)

    async def _get(self, asked: Sequence[OutputKey]) -> list[Any]:
        """A reply for each key: the value, None, or an exception."""
        pipeline = self._client.pipeline(transaction=False)
        for key in asked:
            pipeline.get(redis_key(key.digest))
        return await execute(pipeline)

    def _unpack(self, key: OutputKey, value: bytes) -> bytes | None:
        try:
            return unpack_value(key, value)
        except DamagedValueError:
            self._observer.on_damaged_value()
            self._writer.remove(key)
            return None


def _first_within_limit(keys: Sequence[OutputKey]) -> list[OutputKey]:
    """Distinct keys in the given order, up to MAX_LOOKUP_BYTES of outputs."""
    num_bytes = 0
    asked: list[OutputKey] = []
    for key in dict.fromkeys(keys):
        num_bytes += key.num_bytes
        if num_bytes > MAX_LOOKUP_BYTES:
            break
        asked.append(key)
    return asked
