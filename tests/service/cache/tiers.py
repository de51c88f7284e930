"""A Redis tier with its metrics and a clock that stands still, and encoder outputs to put in it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from service.cache.redis_client import connect
from service.cache.redis_tier import RedisTier
from service.cache.values import OutputFormat, Wanted
from service.observability.metrics import Metrics

LIMIT_SECONDS = 30.0
"""Far more than anything here takes: it only keeps a failing test from hanging."""


@dataclass
class ManualClock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Rig:
    tier: RedisTier
    metrics: Metrics
    clock: ManualClock = field(default_factory=ManualClock)

    def metric(self, name: str, **labels: str) -> float:
        """The sum over all series of this name that have these labels."""
        families = text_string_to_metric_families(self.metrics.render().decode())
        samples = [sample for family in families for sample in family.samples]
        return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())

    def results(self) -> dict[str, float]:
        """What the look-ups came to."""
        name = "kakehashi_encoder_cache_requests_total"
        return {result: self.metric(name, tier="redis", result=result) for result in ("hit", "miss", "error")}

    def writes(self) -> dict[str, float]:
        name = "kakehashi_encoder_cache_writes_total"
        return {result: self.metric(name, result=result) for result in ("ok", "error", "dropped")}

    def is_open(self, operation: str) -> bool:
        return self.metric("kakehashi_redis_circuit_open", operation=operation) == 1

    async def store(self, *numbers: int) -> None:
        """Put these outputs, and wait until Redis has them."""
        num_ok = self.writes()["ok"] + len(numbers)
        for number in numbers:
            self.tier.put(wanted_of(number), output_of(number))
        await until(lambda: self.writes()["ok"] == num_ok)

    async def found(self, numbers: Sequence[int]) -> list[int]:
        """Which of these outputs Redis gives; fails where it gives a wrong one."""
        async with asyncio.timeout(LIMIT_SECONDS):
            outputs = await self.tier.find([wanted_of(number) for number in numbers])
        assert outputs.items() <= {wanted_of(number).key: output_of(number) for number in numbers}.items()
        return [number for number in numbers if wanted_of(number).key in outputs]


@asynccontextmanager
async def running_tier(
    url: str, *, timeout_seconds: float = 5.0, max_pending_bytes: int = 1 << 20, is_started: bool = True
) -> AsyncIterator[Rig]:
    metrics, clock = Metrics(), ManualClock()
    tier = RedisTier(
        connect(url, timeout_seconds=timeout_seconds),
        ttl_seconds=600,
        timeout_seconds=timeout_seconds,
        max_pending_bytes=max_pending_bytes,
        metrics=metrics,
        clock=clock,
    )
    if is_started:
        tier.start()
    try:
        yield Rig(tier, metrics, clock)
    finally:
        async with asyncio.timeout(LIMIT_SECONDS):
            await tier.aclose()


def wanted_of(number: int) -> Wanted:
    """Shape [number, 64]."""
    return Wanted(hashlib.sha256(str(number).encode()).digest(), number, OutputFormat("float32", d_model=64))


def output_of(number: int) -> bytes:
    return hashlib.shake_128(str(number).encode()).digest(number * 256)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)
