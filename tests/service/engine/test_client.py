"""Laws of the client, on real worker processes with a small random checkpoint."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import torch

from model.checkpoint import load_transformer
from model.config import read_checkpoint
from model.reference import translate
from model.search_types import SearchRequest
from service.engine.client import EngineClient
from service.engine.stream import EngineStream
from service.engine.types import CheckpointSpec, Sequence, SequenceFailed, SequenceProgress, WorkerSpec, is_terminal
from service.errors import DeadlineExceededError, DrainingError, NotReadyError, QueueFullError
from service.metrics import Metrics
from tests.checkpoints import Shape, random_m2m100

LIMIT_SECONDS = 60
PROMPT = (2, 310)
SOURCES = [(310, *range(start, start + 10), 2) for start in range(20, 60, 5)]
MAX_NEW_TOKENS = 200


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_m2m100(tmp_path_factory.mktemp("checkpoint"), seed=5, shape=Shape(d_model=64, max_positions=256))


@pytest.fixture(scope="module")
def expected(directory: Path) -> list[list[int]]:
    """What each source says alone."""
    checkpoint = read_checkpoint(directory, name="random")
    transformer = load_transformer(checkpoint, compute_type="float32", device=torch.device("cpu"))
    return [
        list(translate(transformer, checkpoint, list(source), list(PROMPT), max_new_tokens=MAX_NEW_TOKENS).token_ids)
        for source in SOURCES
    ]


def make_sequence(client: EngineClient, source: tuple[int, ...], *, beam_size: int = 1) -> Sequence:
    request = SearchRequest(client.next_id(), PROMPT, MAX_NEW_TOKENS, beam_size=beam_size, repetition_guard=False)
    return Sequence(request, 0, source)


@pytest.fixture
def running(directory: Path) -> Callable[..., object]:
    @asynccontextmanager
    async def start(*, num_workers: int = 1, max_queue_tokens: int = 10_000) -> AsyncIterator[EngineClient]:
        spec = WorkerSpec(
            checkpoints=[CheckpointSpec(str(directory), "random", max_source_tokens=64, max_new_tokens=MAX_NEW_TOKENS)],
            device="cpu",
            compute_type="float32",
            num_threads=1,
            max_rows=4,
            max_encode_tokens=100,
            max_bulk_wait_seconds=5,
            log_format="text",
            log_level="error",
        )
        client = EngineClient(
            [spec] * num_workers,
            max_queue_tokens=max_queue_tokens,
            warm_up=lambda: [Sequence(SearchRequest(client.next_id(), PROMPT, 4), 0, SOURCES[0])],
            metrics=Metrics(),
            on_loaded=lambda _: None,
            on_fatal=pytest.fail,
        )
        client.start()
        try:
            await until(lambda: client.is_ready)
            yield client
        finally:
            await client.aclose()

    return start


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


async def test_sequences_side_by_side_say_what_they_say_alone(running, expected: list[list[int]]):
    async with running(num_workers=2) as client:
        sequences = [make_sequence(client, source) for source in SOURCES]
        tokens = await tokens_of(client.submit(sequences))
        assert [tokens[sequence.sequence_id] for sequence in sequences] == expected
        assert len({len(each) for each in expected}) > 1


async def test_work_of_a_dead_worker_is_replayed_without_a_gap_or_an_echo(running, expected: list[list[int]]):
    async with running() as client:
        sequences = [make_sequence(client, source) for source in SOURCES]
        stream = client.submit(sequences)
        first = await anext(stream)
        os.kill(client.worker_pids[0], signal.SIGKILL)
        rest = await tokens_of(stream)
        for event in reversed(first):
            if isinstance(event, SequenceProgress):
                rest[event.sequence_id][:0] = [token.token_id for token in event.tokens]
        assert [rest[sequence.sequence_id] for sequence in sequences] == expected


async def test_a_sequence_whose_worker_dies_twice_fails_once(running):
    async with running() as client:
        stream = client.submit([make_sequence(client, SOURCES[0])])
        for _ in range(2):
            await until(lambda: bool(client.worker_pids))
            os.kill(pid := client.worker_pids[0], signal.SIGSTOP)
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid: pid not in client.worker_pids)
            await until(lambda: client.is_ready)
        events = [event async for batch in stream for event in batch]
        assert [event for event in events if is_terminal(event)] == events[-1:]


async def test_a_late_request_ends_with_its_deadline(running):
    async with running() as client:
        os.kill(pid := client.worker_pids[0], signal.SIGSTOP)
        stream = client.submit([make_sequence(client, SOURCES[0])], deadline=asyncio.get_running_loop().time())
        with pytest.raises(DeadlineExceededError):
            await tokens_of(stream)
        await stream.aclose()
        os.kill(pid, signal.SIGCONT)
        assert await tokens_of(client.submit([make_sequence(client, SOURCES[1])]))
        assert client.queue_tokens == 0


async def test_a_full_queue_refuses_and_a_hang_up_makes_room(running):
    async with running(max_queue_tokens=30) as client:
        os.kill(pid := client.worker_pids[0], signal.SIGSTOP)
        stream = client.submit([make_sequence(client, source) for source in SOURCES[:2]])
        with pytest.raises(QueueFullError, match="24 source tokens are waiting and this request has 12 more"):
            client.submit([make_sequence(client, SOURCES[2])])
        await stream.aclose()
        again = client.submit([make_sequence(client, SOURCES[2])])
        os.kill(pid, signal.SIGCONT)
        assert await tokens_of(again)


async def test_a_closed_client_ends_what_is_open(running):
    async with running() as client:
        os.kill(client.worker_pids[0], signal.SIGSTOP)
        stream = client.submit([make_sequence(client, SOURCES[0])])
        os.kill(client.worker_pids[0], signal.SIGKILL)
        await client.aclose()
        with pytest.raises(DrainingError):
            await tokens_of(stream)
        with pytest.raises(NotReadyError):
            client.submit([make_sequence(client, SOURCES[0])])
