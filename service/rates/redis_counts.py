"""The counts of rate limits in Redis: the storage of `limits`, with our client of any topology, behind a circuit."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from limits.aio.storage import RedisStorage

from service.cache.circuit import Circuit
from service.cache.observer import CacheObserver
from service.cache.redis_client import RedisClient, close

KEY_PREFIX = "kakehashi:limits"
MAX_CONCURRENT = 16
T = TypeVar("T")


class RedisCounts:
    """Owns and closes `client`."""

    def __init__(self, client: RedisClient, *, timeout_seconds: float, observer: CacheObserver) -> None:
        self._client = client
        self._storage = _ClientStorage(client)
        self._circuit = Circuit(
            "limit",
            timeout_seconds=timeout_seconds,
            max_concurrent=MAX_CONCURRENT,
            observer=observer,
            clock=time.monotonic,
        )

    async def run(self, count: Callable[[RedisStorage], Awaitable[T]]) -> T:
        """Raises OperationFailedError, at once while the circuit is open."""
        return await self._circuit.run(lambda: count(self._storage))

    async def aclose(self) -> None:
        """Never raises."""
        await close(self._client)


class _ClientStorage(RedisStorage):
    """The library connects by URLs of its own; this uses a client that is there already."""

    STORAGE_SCHEME = None  # type: ignore[assignment]  # not to be found by a URL

    def __init__(self, client: RedisClient) -> None:
        self._client: Any = client
        super().__init__("async+redis://", implementation="redispy", key_prefix=KEY_PREFIX)

    def configure_bridge(self) -> None:
        bridge: Any = self.bridge
        bridge.storage = self._client
        bridge.connection_getter = lambda _: self._client
