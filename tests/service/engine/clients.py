"""Clients with real worker processes and a small random checkpoint, for tests."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from model.search.types import SearchRequest
from service.cache.encoder_cache import EncoderCache, EncoderIdentity, SharedTier
from service.cache.memory import MemoryTier
from service.cache.values import OutputFormat
from service.engine.client import EngineClient
from service.engine.stream import EngineStream
from service.engine.types import (
    CheckpointInfo,
    CheckpointSpec,
    Sequence,
    SequenceFailed,
    SequenceProgress,
    WorkerSpec,
    is_terminal,
)
from service.observability.cache_telemetry import CacheTelemetry
from service.observability.metrics import Metrics
from tests.support.checkpoints import Shape

LIMIT_SECONDS = 60
PROMPT = (2, 310)
SOURCES = [(310, *range(start, start + 10), 2) for start in range(20, 60, 5)]
MAX_NEW_TOKENS = 200
SHAPE = Shape(d_model=64, max_positions=256)


def make_sequence(
    client: EngineClient, source: tuple[int, ...], *, max_new_tokens: int = MAX_NEW_TOKENS, is_cacheable: bool = True
) -> Sequence:
    request = SearchRequest(client.next_id(), PROMPT, max_new_tokens, repetition_guard=False)
    return Sequence(request, 0, source, is_cacheable=is_cacheable)


@asynccontextmanager
async def running_client(
    directory: Path,
    *,
    num_workers: int = 1,
    max_queue_tokens: int = 10_000,
    cache_bytes: int = 0,
    shared: SharedTier | None = None,
    metrics: Metrics | None = None,
) -> AsyncIterator[EngineClient]:
    """Ready. Without `cache_bytes` it has no memory tier."""
    metrics = metrics or Metrics()
    cache = EncoderCache(
        MemoryTier(max_bytes=cache_bytes, ttl_seconds=LIMIT_SECONDS) if cache_bytes else None,
        shared,
        min_memory_tokens=1,
        min_shared_tokens=1,
        observer=CacheTelemetry(metrics),
        clock=time.monotonic,
    )
    spec = WorkerSpec(
        checkpoints=[CheckpointSpec(str(directory), "random", max_source_tokens=64, max_new_tokens=MAX_NEW_TOKENS)],
        device="cpu",
        compute_type="float32",
        num_threads=1,
        max_rows=4,
        max_encode_tokens=100,
        max_bulk_wait_seconds=5,
        min_cached_tokens=cache.min_tokens,
        log_format="text",
        log_level="error",
    )

    def describe(infos: list[CheckpointInfo]) -> None:
        output_format = OutputFormat(infos[0].encoder_dtype, SHAPE.d_model)
        cache.describe({"random": EncoderIdentity(infos[0].fingerprint, infos[0].compute_type, output_format)})

    client = EngineClient(
        [spec] * num_workers,
        cache=cache,
        max_queue_tokens=max_queue_tokens,
        warm_up=lambda: [Sequence(SearchRequest(client.next_id(), PROMPT, 4), 0, SOURCES[0], is_cacheable=False)],
        metrics=metrics,
        on_loaded=describe,
        on_fatal=pytest.fail,
    )
    client.start()
    try:
        await until(lambda: client.is_ready)
        yield client
    finally:
        await client.aclose()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


async def tokens_of(stream: EngineStream) -> dict[int, list[int]]:
    """The tokens of each sequence; fails where one has not exactly one terminal event, as its last."""
    tokens: dict[int, list[int]] = {}
    ended: set[int] = set()
    async with asyncio.timeout(LIMIT_SECONDS):
        async for events in stream:
            for event in events:
                assert event.sequence_id not in ended
                assert not isinstance(event, SequenceFailed), event
                if isinstance(event, SequenceProgress):
                    tokens.setdefault(event.sequence_id, []).extend(token.token_id for token in event.tokens)
                if is_terminal(event):
                    ended.add(event.sequence_id)
    assert ended == tokens.keys()
    return tokens
