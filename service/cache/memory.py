"""The first tier: encoder outputs in the memory of this process, least recently used first out, bounded in bytes.

An expired entry is removed when it is looked up, or when it is evicted.
"""

from collections import OrderedDict
from dataclasses import dataclass

ENTRY_OVERHEAD_BYTES = 300
"""The overhead of an entry besides its key and output: four Python objects and a place in the dictionary."""


@dataclass(frozen=True, slots=True)
class _Entry:
    output: bytes
    expires_at: float


class MemoryTier:
    """`now` is in seconds, of any one monotonic clock."""

    def __init__(self, *, max_bytes: int, ttl_seconds: float) -> None:
        self._max_bytes = max_bytes
        self._ttl_seconds = ttl_seconds
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()  # the least recently used first
        self._num_bytes = 0

    @property
    def num_bytes(self) -> int:
        """Never more than `max_bytes`."""
        return self._num_bytes

    def get(self, key: bytes, *, now: float) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires_at <= now:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.output

    def put(self, key: bytes, output: bytes, *, now: float) -> None:
        """Store an output. One over the whole limit is not stored, and what it would replace is removed."""
        if key in self._entries:
            self._drop(key)
        num_bytes = _entry_bytes(key, output)
        if num_bytes > self._max_bytes:
            return
        while self._num_bytes + num_bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))
        self._entries[key] = _Entry(output, now + self._ttl_seconds)
        self._num_bytes += num_bytes

    def _drop(self, key: bytes) -> None:
        self._num_bytes -= _entry_bytes(key, self._entries.pop(key).output)


def _entry_bytes(key: bytes, output: bytes) -> int:
    return len(key) + len(output) + ENTRY_OVERHEAD_BYTES
