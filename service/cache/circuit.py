"""One kind of operation on Redis, under a time limit and a circuit breaker.

Everything that can go wrong comes out as one error. A change of the circuit is one line in the log and a gauge; a
failure in between is not logged above `debug`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

from service.cache.breaker import CircuitBreaker, Permit
from service.observability.metrics import Metrics

logger = logging.getLogger(__name__)

Operation = Literal["read", "write"]
MAX_CAUSE_CHARACTERS = 300
T = TypeVar("T")


class OperationFailedError(Exception):
    """Redis answered late, wrongly, or not at all."""


class CircuitOpenError(OperationFailedError):
    """It was not asked."""


class Circuit:
    def __init__(
        self,
        operation: Operation,
        *,
        timeout_seconds: float,
        max_concurrent: int,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._operation = operation
        self._timeout_seconds = timeout_seconds
        self._places = asyncio.Semaphore(max_concurrent)
        self._clock = clock
        self._breaker = CircuitBreaker()
        self._duration = metrics.redis_duration.labels(operation)
        self._open = metrics.redis_circuit_open.labels(operation)

    @property
    def is_pausing(self) -> bool:
        """Whether an operation that begins now would certainly be refused."""
        return self._breaker.is_pausing(now=self._clock())

    async def run(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Raises CircuitOpenError without asking, or OperationFailedError."""
        permit = self._breaker.admit(now=self._clock())
        if permit is None:
            raise CircuitOpenError
        began: float | None = None
        try:
            async with asyncio.timeout(self._timeout_seconds), self._places:
                began = self._clock()
                answer = await ask()
            self._succeed(permit)
        except Exception as error:  # redis-py raises OSError, RedisClusterException and others beside RedisError
            if began is not None:  # a long wait for a place says nothing about Redis
                self._fail(permit, error)
            raise OperationFailedError from error
        else:
            return answer
        finally:
            self._breaker.abandon(permit)
            if began is not None:
                self._duration.observe(self._clock() - began)

    def _succeed(self, permit: Permit) -> None:
        if self._breaker.succeed(permit):
            self._open.set(0)
            logger.info("redis %s: works again", self._operation)

    def _fail(self, permit: Permit, error: Exception) -> None:
        cause = self._describe(error)
        logger.debug("redis %s failed: %s", self._operation, cause)
        if self._breaker.fail(permit, now=self._clock()):
            self._open.set(1)
            pause_seconds = self._breaker.pause_seconds
            logger.warning(
                "redis %s: left alone after failures, tried again in %g s and then less often: %s",
                self._operation,
                pause_seconds,
                cause,
            )

    def _describe(self, error: Exception) -> str:
        """Short: some of redis-py's messages list every node that was tried. None has the URL or a password in it."""
        if isinstance(error, TimeoutError):  # the builtin one, of the limit here
            return f"no answer within {self._timeout_seconds * 1000:g} ms"
        return f"{type(error).__name__}: {error}"[:MAX_CAUSE_CHARACTERS]
