"""Engines with real worker processes and a small random checkpoint, for tests.

All engines of a session fork their workers from one process: loading torch takes much longer than most of these tests.
A test of what happens to a fork server itself has one of its own.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from model.search.results import Progress
from model.search.spec import DecodeSpec
from service.cache.encoder_cache import EncoderCache, EncoderIdentity, SharedTier
from service.cache.memory import MemoryTier
from service.cache.values import OutputFormat
from service.engine.engine import Engine
from service.engine.events import Failed, is_terminal
from service.engine.fork_server_process import ForkServerProcess
from service.engine.subscription import Subscription
from service.engine.types import CheckpointInfo, CheckpointSpec, StepReport, WorkerSpec
from tests.support.cache_recorder import CacheRecorder
from tests.support.checkpoints import Shape

LIMIT_SECONDS = 60
CHECKPOINT = "random"
PROMPT = (2, 310)
SOURCES = [(310, *range(start, start + 10), 2) for start in range(20, 60, 5)]
MAX_NEW_TOKENS = 200
SHAPE = Shape(d_model=64, max_positions=256)
NOBODY_IS_KILLED_SECONDS = 600.0


def spec(source_ids: tuple[int, ...], *, max_new_tokens: int = MAX_NEW_TOKENS) -> DecodeSpec:
    return DecodeSpec(CHECKPOINT, source_ids, PROMPT, max_new_tokens, repetition_guard=False)


class SharedForkServer(ForkServerProcess):
    """Outlives the engines that use it."""

    async def aclose(self) -> None: ...

    async def end(self) -> None:
        await super().aclose()


class EngineLog:
    """An observer that counts."""

    def __init__(self) -> None:
        self.shared: Counter[str] = Counter()
        self.num_source_tokens = 0
        self.num_generated_tokens = 0
        self.num_cancelled = 0
        self.restarted: list[str] = []

    def on_worker_ready(self, worker: str, checkpoints: list[CheckpointInfo]) -> None: ...
    def on_worker_lost(self, worker: str) -> None: ...

    def on_worker_restarted(self, worker: str) -> None:
        self.restarted.append(worker)

    def on_turn(self, worker: str, report: StepReport) -> None:
        self.num_source_tokens += sum(stats.num_source_tokens for stats in report.steps)
        self.num_generated_tokens += sum(len(progress.tokens) for progress in report.progress)

    def on_shared_work(self, kind: str) -> None:
        self.shared[kind] += 1

    def on_cancelled(self) -> None:
        self.num_cancelled += 1


@asynccontextmanager
async def running_engine(
    directory: Path,
    fork_server: ForkServerProcess,
    *,
    num_workers: int = 1,
    max_queue_tokens: int = 10_000,
    max_silence_seconds: float = NOBODY_IS_KILLED_SECONDS,
    max_load_seconds: float = NOBODY_IS_KILLED_SECONDS,
    cache_bytes: int = 0,
    shared: SharedTier | None = None,
    log: EngineLog | None = None,
    cache_recorder: CacheRecorder | None = None,
) -> AsyncIterator[Engine]:
    """Ready; idle means idle when the block is left. Without `cache_bytes` it has no memory tier."""
    cache = EncoderCache(
        MemoryTier(max_bytes=cache_bytes, ttl_seconds=LIMIT_SECONDS) if cache_bytes else None,
        shared,
        min_memory_tokens=1,
        min_shared_tokens=1,
        observer=cache_recorder or CacheRecorder(),
        clock=lambda: 0.0,
    )
    checkpoint = CheckpointSpec(
        str(directory),
        CHECKPOINT,
        max_source_tokens=64,
        max_target_tokens=MAX_NEW_TOKENS + len(PROMPT),
        warm_up=spec(SOURCES[0], max_new_tokens=4),
    )
    worker_spec = WorkerSpec(
        checkpoints=[checkpoint],
        device="cpu",
        compute_type="float32",
        num_threads=1,
        max_rows=4,
        max_encode_tokens=100,
        max_bulk_wait_seconds=5,
        needs_fingerprint=True,
        gpu_memory_fraction=0.8,
        log_format="text",
        log_level="error",
    )

    def describe(infos: Sequence[CheckpointInfo]) -> None:
        output_format = OutputFormat(infos[0].encoder_dtype, SHAPE.d_model)
        cache.describe({CHECKPOINT: EncoderIdentity(infos[0].fingerprint, infos[0].compute_type, output_format)})

    engine = Engine(
        [worker_spec] * num_workers,
        fork_server=fork_server,
        cache=cache,
        max_queue_tokens=max_queue_tokens,
        max_silence_seconds=max_silence_seconds,
        max_load_seconds=max_load_seconds,
        observer=log or EngineLog(),
        on_loaded=describe,
        on_fatal=lambda error: pytest.fail(str(error)),
    )
    engine.start()
    try:
        await until(lambda: engine.is_ready)
        yield engine
        await until(lambda: engine.is_idle)
    finally:
        await engine.aclose()


def submit(
    engine: Engine,
    *sources: tuple[int, ...],
    max_new_tokens: int = MAX_NEW_TOKENS,
    is_cacheable: bool = True,
    is_streamed: bool = True,
    deadline: float | None = None,
) -> Subscription:
    specs = [spec(source, max_new_tokens=max_new_tokens) for source in sources]
    prepared = engine.prepare(specs, is_cacheable=is_cacheable)
    return engine.submit(prepared, client="", priority="interactive", is_streamed=is_streamed, deadline=deadline)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


async def tokens_of(subscription: Subscription) -> list[list[int]]:
    """The tokens of each decode by key; fails if one does not have exactly one terminal event, as its last."""
    tokens: dict[int, list[int]] = {}
    ended: set[int] = set()
    async with asyncio.timeout(LIMIT_SECONDS):
        while not subscription.is_over:
            for key, event in await subscription.next():
                assert key not in ended
                assert not isinstance(event, Failed), event
                if isinstance(event, Progress):
                    tokens.setdefault(key, []).extend(token.token_id for token in event.tokens)
                if is_terminal(event):
                    ended.add(key)
    assert ended == tokens.keys()
    return [tokens[key] for key in sorted(tokens)]


async def drained(subscription: Subscription) -> list[list[int]]:
    """Like `tokens_of`, but closes the subscription."""
    with subscription:
        return await tokens_of(subscription)


def worker_pids(engine: Engine) -> list[int]:
    return [worker.pid for worker in engine.workers if worker.pid is not None]
