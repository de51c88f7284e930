"""Limits of requests and characters a minute for each API key, by the library `limits`.

A minute slides: what was used counts in full for the rest of its own minute, and then less and less. Counts are kept in
Redis, where all replicas share them, or in the memory of this process. While Redis is in trouble they are kept in
memory, so that no request waits or fails for it.
"""

from math import ceil

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.storage.base import SlidingWindowCounterSupport

from service.cache.circuit import OperationFailedError
from service.errors import RateSpentError, TooLargeError
from service.rates.allowance import Allowance
from service.rates.redis_counts import RedisCounts

Storage = SlidingWindowCounterSupport


class RateLimits:
    def __init__(self, redis: RedisCounts | None = None) -> None:
        self._redis = redis
        self._memory = MemoryStorage()

    async def take(self, key: str, allowance: Allowance, *, num_characters: int) -> None:
        """Count a request of the key with this name. Raises RateSpentError, or TooLargeError if it can never fit.

        A request that is refused for its characters counts as a request.
        """
        if allowance.requests is not None:
            await self._take(key, "requests", 1, limit=allowance.requests)
        if allowance.characters is not None:
            await self._take(key, "characters", num_characters, limit=allowance.characters)

    async def aclose(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    async def _take(self, key: str, unit: str, cost: int, *, limit: int) -> None:
        if cost > limit:
            raise TooLargeError(
                f"the texts have {cost} characters; the key {key} has {limit} a minute", size=cost, limit=limit
            )
        wait_seconds = await self._count(f"{unit}/{key}", cost, limit=limit)
        if wait_seconds > 0:
            raise RateSpentError(
                f"the key {key} has reached its limit of {unit} a minute, which is {limit}",
                retry_after_seconds=ceil(wait_seconds),
            )

    async def _count(self, name: str, cost: int, *, limit: int) -> float:
        if self._redis is not None:
            try:
                return await self._redis.run(lambda storage: _count(storage, name, cost, limit=limit))
            except OperationFailedError:
                pass
        return await _count(self._memory, name, cost, limit=limit)


async def _count(storage: Storage, name: str, cost: int, *, limit: int) -> float:
    """Count and return 0, or do not count and return the seconds until there is room, if nothing else is counted."""
    item = RateLimitItemPerMinute(limit)
    key, window_seconds = item.key_for(name), item.get_expiry()
    if await storage.acquire_sliding_window_entry(key, limit, window_seconds, cost):
        return 0.0
    window = await storage.get_sliding_window(key, window_seconds)
    return max(seconds_until_room(*window, cost=cost, limit=limit, window_seconds=window_seconds), 1.0)


def seconds_until_room(
    num_previous: int,
    previous_ttl_seconds: float,
    num_current: int,
    current_ttl_seconds: float,
    *,
    cost: int,
    limit: int,
    window_seconds: float,
) -> float:
    """The time until `cost` fits, from the counts of the previous and the current window.

    The previous window counts by the share of it that is left. The current one becomes the previous one when
    `window_seconds` of its time to live are left.
    """
    room = limit - cost
    if num_current <= room:
        return previous_ttl_seconds - (room - num_current) * window_seconds / max(num_previous, 1)
    return current_ttl_seconds - room * window_seconds / num_current
