"""The service side of the engine: `submit` gives a stream of events, closing the stream cancels.

Work goes to the ready worker with the least outstanding source tokens. When a worker dies, its sequences are replayed
once on another: it says the same again, for draws are seeded, and what was delivered already is checked, not delivered
twice. A sequence whose worker dies again fails, lest one that kills workers go round for ever.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import count

from service.engine.process import NurseryProcess
from service.engine.stream import EngineStream
from service.engine.supervisor import Worker
from service.engine.types import (
    Cancel,
    CheckpointInfo,
    Sequence,
    SequenceEvent,
    SequenceFailed,
    SequenceProgress,
    SequenceStarted,
    StepReport,
    Submit,
    WorkerSpec,
    is_terminal,
)
from service.errors import DrainingError, NotReadyError, QueueFullError
from service.metrics import Metrics

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Ticket:
    """One sequence from submit to its terminal event; without a worker while none is ready."""

    sequence: Sequence
    stream: EngineStream
    worker: Worker | None = None
    is_waiting: bool = True
    has_started: bool = False
    delivered: list[int] = field(default_factory=list)
    echo: list[int] = field(default_factory=list)
    """Of what was delivered, all that a replay has not said again yet."""
    was_replayed: bool = False

    @property
    def num_source_tokens(self) -> int:
        return len(self.sequence.source_ids)


class EngineClient:
    def __init__(
        self,
        specs: list[WorkerSpec],
        *,
        max_queue_tokens: int,
        warm_up: Callable[[], list[Sequence]],
        metrics: Metrics,
        on_loaded: Callable[[list[CheckpointInfo]], None],
        on_fatal: Callable[[str], None],
    ) -> None:
        """One worker a spec. `warm_up` builds a sequence for each checkpoint; `on_fatal` is told of a failed start."""
        self._nursery = NurseryProcess()
        self._workers = [Worker(str(index), spec, self, self._nursery) for index, spec in enumerate(specs)]
        self._max_queue_tokens = max_queue_tokens
        self._make_warm_up = warm_up
        self._metrics = metrics
        self._on_loaded = on_loaded
        self._on_fatal = on_fatal
        metrics.queue_tokens.set_function(lambda: self._queue_tokens)
        metrics.requests_waiting.set_function(lambda: self._num_waiting)
        for worker in self._workers:
            metrics.worker_restarts.labels(worker.name)  # so that it starts at 0
        self._ids = count()
        self._tickets: dict[int, _Ticket] = {}
        self._outstanding = dict.fromkeys(self._workers, 0)
        """Source tokens that each worker has to decode: kept up to date, since with many waiting a sum takes long."""
        self._queue_tokens = 0
        self._num_waiting = 0
        self._was_ready = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_ready(self) -> bool:
        """Whether every worker has been ready once, and one is now."""
        return self._was_ready and any(worker.is_ready for worker in self._workers)

    @property
    def checkpoints(self) -> list[CheckpointInfo]:
        """What the workers have loaded, in the order of the WorkerSpec; empty before one of them has."""
        return next((worker.checkpoints for worker in self._workers if worker.checkpoints), [])

    @property
    def worker_pids(self) -> list[int]:
        return [worker.pid for worker in self._workers if worker.pid is not None]

    @property
    def queue_tokens(self) -> int:
        """Source tokens that wait for a slot."""
        return self._queue_tokens

    @property
    def min_rows(self) -> int:
        """Rows of the smallest batch. Raises NotReadyError before a worker has loaded."""
        if not self.checkpoints:
            raise NotReadyError("no worker is ready yet", retry_after_seconds=1)
        return min(info.max_rows for info in self.checkpoints)

    @property
    def num_workers(self) -> int:
        return len(self._workers)

    def next_id(self) -> int:
        return next(self._ids)

    def start(self) -> None:
        """Start the workers in the background; `is_ready` says when they are."""
        self._tasks = [asyncio.create_task(worker.supervise()) for worker in self._workers]

    async def aclose(self) -> None:
        """End the workers. Whatever is still open is told that the server shuts down, and nothing new is taken."""
        self._was_ready = False
        for ticket in list(self._tickets.values()):
            self._forget(ticket)
            ticket.stream.abort(DrainingError("the server is shutting down", retry_after_seconds=5))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._nursery.aclose()

    def submit(self, sequences: list[Sequence], *, deadline: float | None = None) -> EngineStream:
        """Queue sequences; equal sources go to the same worker, which encodes them once.

        `deadline` is in the event loop's time. Raises NotReadyError, and QueueFullError when more than
        `max_queue_tokens` source tokens would wait.
        """
        if not self.is_ready:
            raise NotReadyError("no worker is ready yet", retry_after_seconds=1)
        num_tokens = sum(len(sequence.source_ids) for sequence in sequences)
        if self._queue_tokens + num_tokens > self._max_queue_tokens:
            raise QueueFullError(
                f"{self._queue_tokens} source tokens are waiting and this request has {num_tokens} more; "
                f"the limit is {self._max_queue_tokens}",
                retry_after_seconds=1,
            )
        stream = EngineStream(deadline=deadline, cancel=self._cancel)
        self._add(stream, sequences)
        return stream

    def extend(self, stream: EngineStream, sequences: list[Sequence]) -> None:
        """More sequences for a stream that was admitted: what follows from its first ones is never refused."""
        self._add(stream, sequences)

    # What a worker tells its owner.

    async def warm_up(self, worker: Worker) -> bool:
        self._on_loaded(worker.checkpoints)
        async with aclosing(EngineStream(deadline=None, cancel=self._cancel)) as stream:
            self._add(stream, self._make_warm_up(), worker=worker)
            return not any([isinstance(event, SequenceFailed) async for events in stream for event in events])

    def on_ready(self, worker: Worker) -> None:
        logger.info("worker %s is ready: %s", worker.name, worker.checkpoints)
        self._was_ready = self._was_ready or all(each.is_ready for each in self._workers)
        self._assign(ticket for ticket in self._tickets.values() if ticket.worker is None)

    def on_report(self, worker: Worker, report: StepReport) -> None:
        self._metrics.observe_step(worker.name, report)
        for event in report.events:
            ticket = self._tickets.get(event.sequence_id)
            if ticket is not None:  # else it was cancelled while the step ran
                self._receive(ticket, event)

    def on_lost(self, worker: Worker) -> None:
        self._metrics.observe_slots(worker.name, num_free=0, num_running=0)
        lost = [ticket for ticket in self._tickets.values() if ticket.worker is worker]
        self._outstanding[worker] = 0
        for ticket in lost:
            ticket.worker = None
            if ticket.was_replayed:
                self._deliver(ticket, SequenceFailed(ticket.sequence.sequence_id, "its worker died, twice"))
            ticket.was_replayed, ticket.echo = True, ticket.delivered.copy()
            if not ticket.is_waiting and ticket.sequence.sequence_id in self._tickets:
                ticket.is_waiting = True
                self._count_waiting(ticket, +1)
        self._assign(ticket for ticket in lost if ticket.sequence.sequence_id in self._tickets)

    def on_start_failed(self, worker: Worker, detail: str) -> bool:
        if not self._was_ready:
            self._on_fatal(detail)
            return False
        logger.error("worker %s: %s", worker.name, detail)
        return True

    def on_restart(self, worker: Worker) -> None:
        self._metrics.worker_restarts.labels(worker.name).inc()

    # Tickets.

    def _add(self, stream: EngineStream, sequences: list[Sequence], *, worker: Worker | None = None) -> None:
        tickets = [_Ticket(sequence, stream) for sequence in sequences]
        for ticket in tickets:
            stream.expect(ticket.sequence.sequence_id)
            self._tickets[ticket.sequence.sequence_id] = ticket
            self._count_waiting(ticket, +1)
        self._assign(tickets, worker=worker)

    def _assign(self, tickets: Iterable[_Ticket], *, worker: Worker | None = None) -> None:
        """Send each source's tickets to `worker`, or to the ready worker with the least outstanding work."""
        by_source: defaultdict[tuple[int, tuple[int, ...]], list[_Ticket]] = defaultdict(list)
        for ticket in tickets:
            by_source[ticket.sequence.checkpoint, ticket.sequence.source_ids].append(ticket)
        ready = [worker] if worker else [each for each in self._workers if each.is_ready]
        if not by_source or not ready:
            return
        batches: defaultdict[Worker, list[Sequence]] = defaultdict(list)
        for group in by_source.values():
            target = min(ready, key=self._outstanding.__getitem__)
            for ticket in group:
                ticket.worker = target
                self._outstanding[target] += ticket.num_source_tokens
                batches[target].append(ticket.sequence)
        for target, sequences in batches.items():
            target.send(Submit(sequences))

    def _cancel(self, sequence_ids: Iterable[int]) -> None:
        """Forget those that have not ended."""
        by_worker: defaultdict[Worker, list[int]] = defaultdict(list)
        for ticket in [self._tickets[each] for each in sequence_ids if each in self._tickets]:
            self._forget(ticket)
            if ticket.worker is not None:
                by_worker[ticket.worker].append(ticket.sequence.sequence_id)
        for worker, cancelled in by_worker.items():
            worker.send(Cancel(cancelled))

    def _receive(self, ticket: _Ticket, event: SequenceEvent) -> None:
        match event:
            case SequenceProgress():
                self._receive_progress(ticket, event)
            case SequenceStarted():
                self._stop_waiting(ticket)
                if not ticket.has_started:  # else it did before, on a worker that died
                    ticket.has_started = True
                    self._deliver(ticket, event)
            case SequenceFailed():
                self._deliver(ticket, event)

    def _receive_progress(self, ticket: _Ticket, event: SequenceProgress) -> None:
        if ticket.echo:
            self._receive_echo(ticket, event)
        elif event.hypotheses:
            self._deliver(ticket, event)  # which ends it: nothing has to be remembered
        else:
            ticket.delivered += [token.token_id for token in event.tokens]
            self._deliver(ticket, event)

    def _receive_echo(self, ticket: _Ticket, event: SequenceProgress) -> None:
        token_ids = [token.token_id for token in event.tokens]
        known = ticket.echo[: len(token_ids)]
        if known != token_ids[: len(known)]:
            self._cancel([event.sequence_id])
            ticket.stream.push(SequenceFailed(event.sequence_id, "its worker died, and the replay said otherwise"))
            return
        del ticket.echo[: len(known)]
        fresh = event.tokens[len(known) :]
        ticket.delivered += token_ids[len(known) :]
        if fresh or event.hypotheses:
            self._deliver(ticket, SequenceProgress(event.sequence_id, fresh, event.hypotheses))

    def _deliver(self, ticket: _Ticket, event: SequenceEvent) -> None:
        if is_terminal(event):
            self._forget(ticket)
        ticket.stream.push(event)

    def _forget(self, ticket: _Ticket) -> None:
        del self._tickets[ticket.sequence.sequence_id]
        if ticket.worker is not None:
            self._outstanding[ticket.worker] -= ticket.num_source_tokens
        self._stop_waiting(ticket)

    def _stop_waiting(self, ticket: _Ticket) -> None:
        if ticket.is_waiting:
            ticket.is_waiting = False
            self._count_waiting(ticket, -1)

    def _count_waiting(self, ticket: _Ticket, sign: int) -> None:
        self._queue_tokens += sign * ticket.num_source_tokens
        self._num_waiting += sign
