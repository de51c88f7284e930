"""A cache observer that records all reports."""

import time
from collections import Counter
from dataclasses import dataclass, field

from service.cache.observer import Operation, Tier, WriteResult


@dataclass
class CacheRecorder:
    memory_lookups: Counter[str] = field(default_factory=lambda: Counter(hit=0, miss=0))
    redis_lookups: Counter[str] = field(default_factory=lambda: Counter(hit=0, miss=0, error=0))
    writes: Counter[WriteResult] = field(default_factory=lambda: Counter({"ok": 0, "error": 0, "dropped": 0}))
    operations: Counter[Operation] = field(default_factory=Counter)
    open_circuits: set[Operation] = field(default_factory=set)
    used_bytes: Counter[Tier] = field(default_factory=Counter)
    num_damaged: int = 0

    def on_memory_lookup(self, *, is_hit: bool) -> None:
        self.memory_lookups["hit" if is_hit else "miss"] += 1

    def on_redis_lookup(self, *, began_at: float, num_hits: int, num_misses: int, num_errors: int) -> None:
        assert began_at <= time.monotonic()
        self.redis_lookups.update(hit=num_hits, miss=num_misses, error=num_errors)

    def on_redis_writes(self, result: WriteResult, num_outputs: int) -> None:
        self.writes[result] += num_outputs

    def on_redis_operation(self, operation: Operation, *, seconds: float) -> None:
        assert seconds >= 0
        self.operations[operation] += 1

    def on_damaged_value(self) -> None:
        self.num_damaged += 1

    def on_circuit_change(self, operation: Operation, *, is_open: bool) -> None:
        assert is_open != (operation in self.open_circuits), "a change is reported once"
        self.open_circuits ^= {operation}

    def on_memory_use(self, tier: Tier, num_bytes: int) -> None:
        self.used_bytes[tier] = num_bytes
