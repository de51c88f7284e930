"""One kind of operation on Redis, under a time limit and a circuit breaker.

Every failure is raised as one error. Opening or closing the circuit is reported and logged once; failures in between
are logged at `debug` only.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from service.cache.breaker import CircuitBreaker, Permit
from service.cache.observer import CacheObserver, Operation

logger = logging.getLogger(__name__)

MAX_CAUSE_CHARACTERS = 300
T = TypeVar("T")


class OperationFailedError(Exception):
    """Redis answered too late, with an error, or not at all."""


class CircuitOpenError(OperationFailedError):
    """The circuit is open: nothing was sent to Redis."""


class Circuit:
    def __init__(
        self,
        operation: Operation,
        *,
        timeout_seconds: float,
        max_concurrent: int,
        observer: CacheObserver,
        clock: Callable[[], float],
    ) -> None:
        self._operation: Operation = operation
        self._timeout_seconds = timeout_seconds
        self._places = asyncio.Semaphore(max_concurrent)
        self._observer = observer
        self._clock = clock
        self._breaker = CircuitBreaker()

    @property
    def is_pausing(self) -> bool:
        """Whether an operation that begins now would be refused."""
        return self._breaker.is_pausing(now=self._clock())

    async def run(self, operate: Callable[[], Awaitable[T]]) -> T:
        """The result of `operate`. Raises CircuitOpenError without calling it, or OperationFailedError."""
        permit = self._breaker.admit(now=self._clock())
        if permit is None:
            raise CircuitOpenError
        began_at: float | None = None
        try:
            async with asyncio.timeout(self._timeout_seconds), self._places:
                began_at = self._clock()
                result = await operate()
            self._succeed(permit)
        except Exception as error:  # redis-py raises OSError, RedisClusterException and others besides RedisError
            if began_at is not None:  # a timeout while waiting for a connection is not a failure of Redis
                self._fail(permit, error)
            raise OperationFailedError from error
        else:
            return result
        finally:
            self._breaker.abandon(permit)
            if began_at is not None:
                self._observer.on_redis_operation(self._operation, seconds=self._clock() - began_at)

    def _succeed(self, permit: Permit) -> None:
        if self._breaker.succeed(permit):
            self._observer.on_circuit_change(self._operation, is_open=False)
            logger.info("redis %s: works again", self._operation)

    def _fail(self, permit: Permit, error: Exception) -> None:
        cause = self._describe(error)
        logger.debug("redis %s failed: %s", self._operation, cause)
        if self._breaker.fail(permit, now=self._clock()):
            self._observer.on_circuit_change(self._operation, is_open=True)
            logger.warning(
                "redis %s: suspended after repeated failures, next attempt in %g s, then less often: %s",
                self._operation,
                self._breaker.pause_seconds,
                cause,
            )

    def _describe(self, error: Exception) -> str:
        """Short, because some of redis-py's messages list every node it tried. None contains the URL or a password."""
        if isinstance(error, TimeoutError):  # the builtin one, raised by the time limit here
            return f"no answer within {self._timeout_seconds * 1000:g} ms"
        return f"{type(error).__name__}: {error}"[:MAX_CAUSE_CHARACTERS]
