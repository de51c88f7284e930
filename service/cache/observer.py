"""The reports of the encoder cache. Metrics and traces implement the observer; the cache knows neither."""

from typing import Literal, Protocol

Tier = Literal["memory", "redis"]
Operation = Literal["read", "write", "limit"]
WriteResult = Literal["ok", "error", "dropped"]


class CacheObserver(Protocol):
    def on_memory_lookup(self, *, is_hit: bool) -> None: ...

    def on_redis_lookup(self, *, began_at: float, num_hits: int, num_misses: int, num_errors: int) -> None:
        """One round trip has ended; `began_at` is a time of `time.monotonic`. Not called while the circuit is open."""

    def on_redis_writes(self, result: WriteResult, num_outputs: int) -> None: ...

    def on_redis_operation(self, operation: Operation, *, seconds: float) -> None:
        """A lookup, a batch of writes or a count of a rate limit has succeeded or failed.

        `seconds` excludes the wait for a free connection.
        """

    def on_damaged_value(self) -> None:
        """Redis returned a value that is not the encoder output stored under its key."""

    def on_circuit_change(self, operation: Operation, *, is_open: bool) -> None: ...
    def on_memory_use(self, tier: Tier, num_bytes: int) -> None: ...
