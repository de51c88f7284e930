"""Laws of the engine, on real worker processes with a small random checkpoint."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath

import msgspec
import psutil
import pytest

from model.search.results import Progress
from service.engine.engine import Engine
from service.engine.events import Event, Failed, is_terminal
from service.engine.fork_server_process import ForkServerProcess
from service.engine.machine import read_text
from service.engine.subscription import Subscription
from service.engine.types import StepReport
from service.engine.worker_handle import WorkerHandle
from service.errors import (
    DeadlineExceededError,
    DeadlineUnreachableError,
    DrainingError,
    EngineFailedError,
    NotReadyError,
    QueueFullError,
)
from tests.service.engine.engines import (
    CHECKPOINT,
    SOURCES,
    EngineLog,
    drained,
    running_engine,
    spec,
    submit,
    tokens_of,
    until,
    worker_pids,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")


def kill_when_starting(engine: Engine, *, times: int) -> None:
    """Kill so many workers, each when it first reports that decodes got their rows."""
    pass_on = engine.on_report
    killed: set[int] = set()

    def on_report(worker: WorkerHandle, report: StepReport) -> None:
        pass_on(worker, report)
        assert worker.pid is not None
        if report.started and worker.pid not in killed and len(killed) < times:
            killed.add(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)

    engine.on_report = on_report  # type: ignore[method-assign]


async def test_decodes_side_by_side_give_what_each_gives_alone(running, expected: list[list[int]]):
    async with running(num_workers=2) as engine:
        assert await drained(submit(engine, *SOURCES)) == expected
        assert len({len(each) for each in expected}) > 1


async def test_work_of_a_dead_worker_is_replayed_without_a_gap_or_an_echo(running, expected: list[list[int]]):
    async with running() as engine:
        subscription = submit(engine, *SOURCES)
        first = await subscription.next()
        os.kill(worker_pids(engine)[0], signal.SIGKILL)
        rest = await drained(subscription)
        for key, event in reversed(first):
            if isinstance(event, Progress):
                rest[key][:0] = [token.token_id for token in event.tokens]
        assert rest == expected


async def test_a_decode_aboard_of_two_deaths_is_refused_and_its_neighbours_are_not(running, expected: list[list[int]]):
    async with running() as engine:
        kill_when_starting(engine, times=2)
        with submit(engine, *SOURCES[:3]) as subscription:
            events = [each async for each in all_events(subscription)]
        assert [key for key, event in events if isinstance(event, Failed)] == [0]
        assert sorted(key for key, event in events if is_terminal(event)) == [0, 1, 2]
        with pytest.raises(EngineFailedError, match="two workers"):
            submit(engine, SOURCES[0])
        assert engine.is_idle
        assert await drained(submit(engine, *SOURCES[1:3])) == expected[1:3]


async def all_events(subscription: Subscription) -> AsyncIterator[tuple[int, Event]]:
    while not subscription.is_over:
        for each in await subscription.next():
            yield each


async def test_a_stopped_worker_is_killed_and_its_work_done_elsewhere(running, expected: list[list[int]]):
    log = EngineLog()
    async with running(num_workers=2, max_silence_seconds=1.0, log=log) as engine:
        stopped = worker_pids(engine)[0]
        os.kill(stopped, signal.SIGSTOP)
        assert await drained(submit(engine, *SOURCES)) == expected
        await until(lambda: len(worker_pids(engine)) == 2 and stopped not in worker_pids(engine))
        assert log.restarted == ["0"]


async def test_a_worker_in_doubt_gets_nothing_new_and_does_not_count_as_ready(running, expected: list[list[int]]):
    async with running(num_workers=2, max_silence_seconds=12.0) as engine:
        stopped = engine.workers[0]
        os.kill(stopped.pid, signal.SIGSTOP)
        silent = submit(engine, SOURCES[0])
        await until(lambda: not stopped.is_ready)
        assert (engine.is_ready, engine.num_ready) == (True, 1)
        before = stopped.num_decodes
        assert await drained(submit(engine, *SOURCES[1:])) == expected[1:]
        assert stopped.num_decodes == before
        os.kill(stopped.pid, signal.SIGCONT)
        assert await drained(silent) == [expected[0]]


async def test_the_log_names_what_computes_each_checkpoint(running, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    async with running() as engine:
        (info,) = engine.checkpoints.values()
        assert f"worker 0 is ready: {CHECKPOINT} in float32 on cpu by torch, {info.max_rows} rows" in caplog.text
        assert "avx2 kernels" in str(msgspec.structs.replace(info, isa="avx2"))


async def test_an_idle_worker_that_is_stopped_is_left_alone_until_it_has_work(running):
    async with running(max_silence_seconds=0.2) as engine:
        (pid,) = worker_pids(engine)
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(0.5)
        assert engine.is_ready
        os.kill(pid, signal.SIGCONT)
        assert worker_pids(engine) == [pid]


async def test_a_fork_server_that_does_not_answer_is_replaced(directory: Path, expected: list[list[int]]):
    fork_server = ForkServerProcess(max_silence_seconds=3.0)
    async with running_engine(directory, fork_server) as engine:
        assert fork_server.pid is not None
        os.kill(fork_server.pid, signal.SIGSTOP)
        (pid,) = worker_pids(engine)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: worker_pids(engine) not in ([], [pid]) and engine.is_ready)
        assert await drained(submit(engine, SOURCES[0])) == [expected[0]]


async def test_the_death_of_a_fork_server_costs_no_start_of_a_worker(directory: Path, expected: list[list[int]]):
    fork_server, log = ForkServerProcess(), EngineLog()
    async with running_engine(directory, fork_server, log=log) as engine:
        assert fork_server.pid is not None
        os.kill(fork_server.pid, signal.SIGKILL)
        await until(lambda: fork_server.has_died)
        (pid,) = worker_pids(engine)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: worker_pids(engine) not in ([], [pid]) and engine.is_ready)
        assert log.restarted == ["0"]
        assert await drained(submit(engine, SOURCES[0])) == [expected[0]]


async def test_no_process_takes_huge_pages_once_it_has_loaded(running):
    async with running(num_workers=2) as engine:
        workers = worker_pids(engine)
        for pid in (*workers, psutil.Process(workers[0]).ppid()):
            assert "THP_enabled:\t1" not in (read_text(PurePosixPath(f"/proc/{pid}/status")) or "")


async def test_a_deadline_cancels_the_work_of_a_reader_that_stands_still(running):
    async with running() as engine:
        subscription = submit(engine, *SOURCES, deadline=asyncio.get_running_loop().time() + 0.05)
        await until(lambda: engine.is_idle)
        with subscription, pytest.raises(DeadlineExceededError):
            await tokens_of(subscription)


async def test_what_follows_after_a_deadline_is_not_decoded(running):
    async with running() as engine:
        subscription = submit(engine, SOURCES[0], deadline=asyncio.get_running_loop().time() + 0.5)
        assert await tokens_of(subscription)
        await until(lambda: subscription.has_left)
        engine.extend(subscription, engine.prepare([spec(SOURCES[1])], is_cacheable=False), is_streamed=False)
        with pytest.raises(DeadlineExceededError):
            await subscription.next()


async def test_a_full_queue_refuses_and_a_hang_up_makes_room(running):
    async with running(max_queue_tokens=30) as engine:
        os.kill(pid := worker_pids(engine)[0], signal.SIGSTOP)
        subscription = submit(engine, *SOURCES[:2])
        with pytest.raises(QueueFullError, match="24 tokens are waiting to be generated and this request has about 12"):
            submit(engine, SOURCES[2])
        subscription.close()
        again = submit(engine, SOURCES[2])
        os.kill(pid, signal.SIGCONT)
        assert await drained(again)


async def test_the_gate_is_closed_while_the_queue_is_full(running):
    async with running(max_queue_tokens=24) as engine:
        engine.check_room("")
        os.kill(pid := worker_pids(engine)[0], signal.SIGSTOP)
        subscription = submit(engine, *SOURCES[:2])
        with pytest.raises(QueueFullError, match="24 tokens are waiting to be generated; the limit is 24"):
            engine.check_room("")
        os.kill(pid, signal.SIGCONT)
        subscription.close()


async def test_a_deadline_that_cannot_be_met_is_refused_and_changes_nothing(running):
    async with running() as engine:
        for second in range(3):
            engine._throughput.report("0", now=float(second), turn_seconds=1.0, num_tokens=10, leaves_waiting=True)
        with pytest.raises(DeadlineUnreachableError, match="send less text"):
            submit(engine, *SOURCES, deadline=asyncio.get_running_loop().time() + 0.5)
        assert engine.is_idle


async def test_a_spec_that_cannot_be_sent_changes_nothing(running):
    async with running() as engine:
        prepared = engine.prepare([spec(SOURCES[0])], is_cacheable=False)
        with pytest.raises(OverflowError):
            engine.prepare([spec((2**70, 2))], is_cacheable=False)
        assert engine.is_idle
        subscription = engine.submit(prepared, client="", priority="bulk", is_streamed=False, deadline=None)
        assert await drained(subscription)


async def test_a_closed_engine_ends_what_is_open(running):
    async with running() as engine:
        os.kill(worker_pids(engine)[0], signal.SIGSTOP)
        subscription = submit(engine, SOURCES[0])
        os.kill(worker_pids(engine)[0], signal.SIGKILL)
        await engine.aclose()
        with pytest.raises(DrainingError):
            await tokens_of(subscription)
        subscription.close()
        with pytest.raises(NotReadyError):
            submit(engine, SOURCES[0])
