"""Encoder outputs by what they depend on, in two tiers: this process's memory, and Redis, which all replicas share.

A source has a key: a hash of the checkpoint's fingerprint, the compute type, and its token ids. Each tier takes sources
from some number of tokens on: what is faster encoded than fetched is left out of it.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from model.transformer.compute_types import ComputeType
from service.cache.memory import MemoryTier
from service.cache.values import OutputFormat, Wanted
from service.observability.metrics import Metrics

KEY_BYTES = 32


class SharedTier(Protocol):
    """What is asked of Redis; `RedisTier` says what each call does."""

    async def find(self, wanted: Sequence[Wanted]) -> dict[bytes, bytes]: ...
    def put(self, wanted: Wanted, output: bytes) -> None: ...


@dataclass(frozen=True)
class EncoderIdentity:
    """Whose encoder it is: outputs under the same identity are the same numbers for the same source."""

    fingerprint: str
    compute_type: ComputeType
    output_format: OutputFormat

    @cached_property
    def _prefix(self) -> bytes:
        fields = (self.fingerprint, self.compute_type)
        return b"".join(hashlib.blake2b(field.encode(), digest_size=KEY_BYTES).digest() for field in fields)

    def key(self, source_ids: Iterable[int]) -> bytes:
        """A hash that no other source has, of this encoder or another.

        What comes before the ids is hashed to one length and each id takes four bytes, so that joining loses nothing.
        """
        return hashlib.blake2b(self._prefix + array("I", source_ids).tobytes(), digest_size=KEY_BYTES).digest()


class EncoderCache:
    def __init__(
        self,
        memory: MemoryTier | None,
        shared: SharedTier | None,
        *,
        min_memory_tokens: int,
        min_shared_tokens: int,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        """None: without that tier. `clock` is for the memory tier."""
        self._memory = memory
        self._shared = shared
        self._min_memory_tokens = min_memory_tokens
        self._min_shared_tokens = min_shared_tokens
        self._metrics = metrics
        self._clock = clock
        self._identities: list[EncoderIdentity] = []
        if memory is not None:
            metrics.encoder_cache_bytes.labels("memory").set_function(lambda: memory.num_bytes)

    @property
    def min_tokens(self) -> int | None:
        """What is shorter goes into neither tier; None where there is no tier."""
        in_memory = [self._min_memory_tokens] if self._memory is not None else []
        return min([*in_memory, *([self._min_shared_tokens] if self._shared is not None else [])], default=None)

    def describe(self, identities: list[EncoderIdentity]) -> None:
        """The checkpoints, by their index; nothing is kept before."""
        self._identities = identities

    def wanted(self, checkpoint: int, source_ids: tuple[int, ...]) -> Wanted | None:
        """How a source is asked for; None where it is not to be kept."""
        least = self.min_tokens
        if least is None or len(source_ids) < least or not self._identities:
            return None
        identity = self._identities[checkpoint]
        return Wanted(identity.key(source_ids), len(source_ids), identity.output_format)

    def find(self, wanted: Wanted) -> bytes | None:
        """What this process has."""
        if self._memory is None or wanted.num_tokens < self._min_memory_tokens:
            return None
        output = self._memory.get(wanted.key, now=self._clock())
        self._metrics.encoder_cache_requests.labels("memory", "miss" if output is None else "hit").inc()
        return output

    def is_shared(self, wanted: Wanted) -> bool:
        """Whether Redis is for this source."""
        return self._shared is not None and wanted.num_tokens >= self._min_shared_tokens

    async def find_shared(self, wanted: Sequence[Wanted]) -> dict[bytes, bytes]:
        """What Redis has of these, by key, and from now on this process too."""
        if self._shared is None:
            return {}
        outputs = await self._shared.find(wanted)
        for each in wanted:
            if each.key in outputs:
                self.keep(each, outputs[each.key])
        return outputs

    def keep(self, wanted: Wanted, output: bytes) -> None:
        """In this process, if it is as long as it should be."""
        fits = len(output) == wanted.num_bytes and wanted.num_tokens >= self._min_memory_tokens
        if self._memory is not None and fits:
            self._memory.put(wanted.key, output, now=self._clock())

    def share(self, wanted: Wanted, output: bytes) -> None:
        """In Redis, when it gets to it."""
        if self._shared is not None:
            self._shared.put(wanted, output)
