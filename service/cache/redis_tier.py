"""The second tier: encoder outputs in Redis, shared by all servers and there after a restart.

A look-up of any number of keys is one round trip under a time limit of milliseconds. Redis failing, full, slow or gone
is never an error here: what it does not give is a miss, and the encoder runs.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from service.cache.circuit import Circuit, CircuitOpenError, OperationFailedError
from service.cache.redis_client import RedisClient, close, execute, redis_key
from service.cache.redis_writer import RedisWriter
from service.cache.values import DamagedValueError, Wanted, unpack_value
from service.observability.metrics import Metrics
from service.observability.tracing import current_trace

MAX_LOOKUP_BYTES = 4 << 20
"""What one look-up may bring in: more would take longer than its time limit even where Redis is well."""
MAX_CONCURRENT_LOOKUPS = 16
"""So many connections at most, however many requests arrive at once."""


class RedisTier:
    """Takes over `client`, which it closes."""

    def __init__(
        self,
        client: RedisClient,
        *,
        ttl_seconds: int,
        timeout_seconds: float,
        max_pending_bytes: int,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._reads = Circuit(
            "read",
            timeout_seconds=timeout_seconds,
            max_concurrent=MAX_CONCURRENT_LOOKUPS,
            metrics=metrics,
            clock=clock,
        )
        self._writer = RedisWriter(
            client, ttl_seconds=ttl_seconds, max_pending_bytes=max_pending_bytes, metrics=metrics, clock=clock
        )
        self._metrics = metrics

    def start(self) -> None:
        """Begin writing; in a running event loop."""
        self._writer.start()

    async def find(self, wanted: Sequence[Wanted]) -> dict[bytes, bytes]:
        """The outputs that Redis has, by key. Never raises, but for the caller's own cancellation."""
        asked = _first_within_limit(wanted)
        if not asked:
            return {}
        began = time.monotonic()
        try:
            replies = await self._reads.run(lambda: self._get(asked))
        except CircuitOpenError:
            return {}
        except OperationFailedError:
            self._count(len(asked), "error")
            _trace(began, len(asked), num_hits=0, num_errors=len(asked))
            return {}
        outputs: dict[bytes, bytes] = {}
        num_errors = 0
        for each, reply in zip(asked, replies, strict=True):
            if isinstance(reply, Exception):
                num_errors += 1
            elif reply is not None and (output := self._unpack(each, reply)) is not None:
                outputs[each.key] = output
        _trace(began, len(asked), num_hits=len(outputs), num_errors=num_errors)
        self._count(len(outputs), "hit")
        self._count(num_errors, "error")
        self._count(len(asked) - len(outputs) - num_errors, "miss")
        return outputs

    def put(self, wanted: Wanted, output: bytes) -> None:
        """Queue `output` for Redis, or drop it; never waits or raises."""
        self._writer.put(wanted, output)

    async def aclose(self) -> None:
        """Send what is queued, for a second at most, and close all connections; never raises."""
        await self._writer.aclose()
        await close(self._client)

    async def _get(self, asked: Sequence[Wanted]) -> list[Any]:
        """A reply for each: the value, None, or an exception."""
        pipeline = self._client.pipeline(transaction=False)
        for each in asked:
            pipeline.get(redis_key(each.key))
        return await execute(pipeline)

    def _unpack(self, wanted: Wanted, value: bytes) -> bytes | None:
        try:
            return unpack_value(wanted, value)
        except DamagedValueError:
            self._metrics.encoder_cache_damaged.inc()
            self._writer.remove(wanted)
            return None

    def _count(self, num_keys: int, result: str) -> None:
        if num_keys:
            self._metrics.encoder_cache_requests.labels("redis", result).inc(num_keys)


def _trace(began: float, num_keys: int, *, num_hits: int, num_errors: int) -> None:
    trace = current_trace()
    if trace is not None:
        attributes: dict[str, str | int] = {
            "db.system.name": "redis",
            "db.operation.name": "GET",
            "db.operation.batch.size": num_keys,
            "kakehashi.hits": num_hits,
        }
        if num_errors:
            attributes["error.type"] = "_OTHER"
        trace.add_look_up("GET", began=began, attributes=attributes, is_call=True)


def _first_within_limit(wanted: Sequence[Wanted]) -> list[Wanted]:
    """By key, without doubles, in the given order."""
    num_bytes = 0
    asked: dict[bytes, Wanted] = {}
    for each in wanted:
        num_bytes += 0 if each.key in asked else each.num_bytes
        if num_bytes > MAX_LOOKUP_BYTES:
            break
        asked[each.key] = each
    return list(asked.values())
