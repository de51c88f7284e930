"""The encoder cache: encoder outputs in two tiers, the memory of this process and Redis, which all replicas share.

The key of an output is a hash of the checkpoint's fingerprint, the compute type and the source's token ids. Each tier
stores sources from a minimum number of tokens on; shorter ones are encoded faster than they are fetched.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from model.transformer.compute_types import ComputeType
from service.cache.memory import MemoryTier
from service.cache.observer import CacheObserver
from service.cache.values import OutputFormat, OutputKey

DIGEST_BYTES = 32


class SharedTier(Protocol):
    """The part of `RedisTier` that the cache uses."""

    async def find(self, keys: Sequence[OutputKey]) -> dict[OutputKey, bytes]: ...
    def put(self, key: OutputKey, output: bytes) -> None: ...


@dataclass(frozen=True)
class EncoderIdentity:
    """Encoders with equal identities have equal outputs for equal sources."""

    fingerprint: str
    compute_type: ComputeType
    output_format: OutputFormat

    @cached_property
    def _prefix(self) -> bytes:
        fields = (self.fingerprint, self.compute_type)
        return b"".join(hashlib.blake2b(field.encode(), digest_size=DIGEST_BYTES).digest() for field in fields)

    def digest(self, source_ids: Iterable[int]) -> bytes:
        """A hash of this encoder and the source.

        The encoder's fields are hashed to a fixed length first and each id takes four bytes, so two different
        combinations are never joined to the same bytes.
        """
        return hashlib.blake2b(self._prefix + array("I", source_ids).tobytes(), digest_size=DIGEST_BYTES).digest()

    def output_key(self, source_ids: Sequence[int]) -> OutputKey:
        return OutputKey(self.digest(source_ids), len(source_ids), self.output_format)


class EncoderCache:
    def __init__(
        self,
        memory: MemoryTier | None,
        shared: SharedTier | None,
        *,
        min_memory_tokens: int,
        min_shared_tokens: int,
        observer: CacheObserver,
        clock: Callable[[], float],
    ) -> None:
        """`clock` is for the memory tier."""
        self._memory = memory
        self._shared = shared
        self._min_memory_tokens = min_memory_tokens
        self._min_shared_tokens = min_shared_tokens
        self._observer = observer
        self._clock = clock
        self._identities: dict[str, EncoderIdentity] = {}

    @property
    def min_tokens(self) -> int | None:
        """The shortest source that any tier stores; None without tiers."""
        in_memory = [self._min_memory_tokens] if self._memory is not None else []
        return min([*in_memory, *([self._min_shared_tokens] if self._shared is not None else [])], default=None)

    def describe(self, identities: Mapping[str, EncoderIdentity]) -> None:
        """Set the encoders, by checkpoint name. Nothing is cached before this call."""
        self._identities = dict(identities)

    def wanted(self, checkpoint_name: str, source_ids: Sequence[int]) -> OutputKey | None:
        """The key of a source's encoder output; None if it must not be cached."""
        min_tokens = self.min_tokens
        identity = self._identities.get(checkpoint_name)
        if identity is None or min_tokens is None or len(source_ids) < min_tokens:
            return None
        return identity.output_key(source_ids)

    def find(self, key: OutputKey) -> bytes | None:
        """Look in the memory tier."""
        if self._memory is None or key.num_tokens < self._min_memory_tokens:
            return None
        output = self._memory.get(key.digest, now=self._clock())
        self._observer.on_memory_lookup(is_hit=output is not None)
        if output is None:  # it may just have expired
            self._observer.on_memory_use("memory", self._memory.num_bytes)
        return output

    def is_shared(self, key: OutputKey) -> bool:
        """Whether the shared tier stores this output."""
        return self._shared is not None and key.num_tokens >= self._min_shared_tokens

    async def find_shared(self, keys: Sequence[OutputKey]) -> dict[OutputKey, bytes]:
        """Look in the shared tier, and copy its outputs to the memory tier."""
        if self._shared is None:
            return {}
        outputs = await self._shared.find(keys)
        for key, output in outputs.items():
            self.keep(key, output)
        return outputs

    def keep(self, key: OutputKey, output: bytes) -> None:
        """Put an output into the memory tier, if its length matches its key."""
        if self._memory is None or key.num_tokens < self._min_memory_tokens or len(output) != key.num_bytes:
            return
        self._memory.put(key.digest, output, now=self._clock())
        self._observer.on_memory_use("memory", self._memory.num_bytes)

    def share(self, key: OutputKey, output: bytes) -> None:
        """Queue an output for the shared tier."""
        if self._shared is not None:
            self._shared.put(key, output)
