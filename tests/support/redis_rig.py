"""A Redis tier with a recording observer and a manual clock, and encoder outputs to store in it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from service.cache.redis_client import connect
from service.cache.redis_tier import RedisTier
from service.cache.values import OutputFormat, OutputKey
from tests.support.cache_recorder import CacheRecorder

LIMIT_SECONDS = 30.0
"""Far longer than any step takes; only keeps a failing test from hanging."""


@dataclass
class ManualClock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Rig:
    tier: RedisTier
    seen: CacheRecorder
    clock: ManualClock

    async def store(self, *numbers: int) -> None:
        """Store these outputs and wait until Redis has them."""
        num_ok = self.seen.writes["ok"] + len(numbers)
        for number in numbers:
            self.tier.put(key_of(number), output_of(number))
        await until(lambda: self.seen.writes["ok"] == num_ok)

    async def found(self, numbers: Sequence[int]) -> list[int]:
        """The outputs that Redis returns; fails if one of them is wrong."""
        async with asyncio.timeout(LIMIT_SECONDS):
            outputs = await self.tier.find([key_of(number) for number in numbers])
        assert outputs.items() <= {key_of(number): output_of(number) for number in numbers}.items()
        return [number for number in numbers if key_of(number) in outputs]


@asynccontextmanager
async def running_tier(
    url: str, *, timeout_seconds: float = 5.0, max_pending_bytes: int = 1 << 20, is_started: bool = True
) -> AsyncIterator[Rig]:
    seen, clock = CacheRecorder(), ManualClock()
    tier = RedisTier(
        connect(url, timeout_seconds=timeout_seconds),
        ttl_seconds=600,
        timeout_seconds=timeout_seconds,
        max_pending_bytes=max_pending_bytes,
        observer=seen,
        clock=clock,
    )
    if is_started:
        tier.start()
    try:
        yield Rig(tier, seen, clock)
    finally:
        async with asyncio.timeout(LIMIT_SECONDS):
            await tier.aclose()


def key_of(number: int) -> OutputKey:
    """The key of an output of shape [number, 64]."""
    return OutputKey(hashlib.sha256(str(number).encode()).digest(), number, OutputFormat("float32", d_model=64))


def output_of(number: int) -> bytes:
    return hashlib.shake_128(str(number).encode()).digest(number * 256)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)
