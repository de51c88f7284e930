"""The service side of the engine: `submit` gives a stream of events, closing the stream cancels.

Equal sequences in flight are decoded once: each has a ticket, which who comes later joins. When a worker dies, its
tickets are replayed once on another: it says the same again, for draws are seeded, and what was told already is
checked, not told twice. A ticket whose worker dies again fails, lest one that kills workers go round for ever.
"""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import aclosing
from itertools import count

from service.cache.encoder_cache import EncoderCache
from service.engine.dispatcher import Dispatcher
from service.engine.process import NurseryProcess
from service.engine.stream import EngineStream
from service.engine.supervisor import Worker
from service.engine.ticket import Listener, Ticket, addressed
from service.engine.ticket_book import TicketBook
from service.engine.types import (
    Cancel,
    CheckpointInfo,
    Sequence,
    SequenceEvent,
    SequenceFailed,
    SequenceStarted,
    SourceEncoded,
    StepReport,
    WorkerSpec,
)
from service.errors import DrainingError, NotReadyError, QueueFullError
from service.observability.metrics import Metrics

logger = logging.getLogger(__name__)


class EngineClient:
    def __init__(
        self,
        specs: list[WorkerSpec],
        *,
        cache: EncoderCache,
        max_queue_tokens: int,
        warm_up: Callable[[], list[Sequence]],
        metrics: Metrics,
        on_loaded: Callable[[list[CheckpointInfo]], None],
        on_fatal: Callable[[str], None],
    ) -> None:
        """One worker a spec. `warm_up` builds a sequence for each checkpoint; `on_fatal` is told of a failed start."""
        self._nursery = NurseryProcess()
        self._workers = [Worker(str(index), spec, self, self._nursery) for index, spec in enumerate(specs)]
        self._tickets = TicketBook()
        checkpoint_names = [checkpoint.name for checkpoint in specs[0].checkpoints]
        self._dispatcher = Dispatcher(self._workers, self._tickets, cache, checkpoint_names)
        self._max_queue_tokens = max_queue_tokens
        self._make_warm_up = warm_up
        self._metrics = metrics
        self._on_loaded = on_loaded
        self._on_fatal = on_fatal
        metrics.queue_tokens.set_function(lambda: self._tickets.queue_tokens)
        metrics.requests_waiting.set_function(lambda: self._tickets.num_waiting)
        metrics.max_queue_tokens.set(max_queue_tokens)
        metrics.workers_ready.set_function(lambda: sum(worker.is_ready for worker in self._workers))
        for worker in self._workers:
            metrics.start_worker_series(worker.name, worker.resident_bytes)
        self._ids = count()
        self._num_started: Counter[tuple[int, bool]] = Counter()
        """Sentences by their checkpoint, and whether their source was encoded for them."""
        self._has_been_ready = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_ready(self) -> bool:
        """Whether every worker has been ready once, and one is now."""
        return self._has_been_ready.is_set() and any(worker.is_ready for worker in self._workers)

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
        return self._tickets.queue_tokens

    @property
    def min_rows(self) -> int:
        """Rows of the smallest batch. Raises NotReadyError before a worker has loaded."""
        if not self.checkpoints:
            raise NotReadyError("no worker is ready yet", retry_after_seconds=1)
        return min(info.max_rows for info in self.checkpoints)

    def encoder_cache_use(self, checkpoint: int) -> tuple[int, int]:
        """Sentences asked for so far whose source had not to be encoded for them, and those whose source had."""
        return self._num_started[checkpoint, False], self._num_started[checkpoint, True]

    @property
    def num_workers(self) -> int:
        return len(self._workers)

    def next_id(self) -> int:
        return next(self._ids)

    def start(self) -> None:
        """Start the workers in the background; `is_ready` says when they are."""
        self._tasks = [asyncio.create_task(worker.supervise()) for worker in self._workers]

    async def wait_ready(self) -> None:
        """Until every worker has been ready once; for ever where `on_fatal` is called instead."""
        await self._has_been_ready.wait()

    async def aclose(self) -> None:
        """End the workers. Whatever is still open is told that the server shuts down, and nothing new is taken."""
        self._has_been_ready.clear()
        for ticket in self._tickets:
            self._close(ticket)
            for listener in ticket.listeners:
                listener.stream.abort(DrainingError("the server is shutting down", retry_after_seconds=5))
        await self._dispatcher.aclose()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._nursery.aclose()

    def submit(self, sequences: list[Sequence], *, deadline: float | None = None) -> EngineStream:
        """Queue sequences. `deadline` is in the event loop's time.

        Raises NotReadyError, and QueueFullError when more than `max_queue_tokens` source tokens would wait.
        """
        if not self.is_ready:
            raise NotReadyError("no worker is ready yet", retry_after_seconds=1)
        num_tokens = sum(len(each.source_ids) for each in sequences if self._tickets.find_equal(each) is None)
        if self.queue_tokens + num_tokens > self._max_queue_tokens:
            raise QueueFullError(
                f"{self.queue_tokens} source tokens are waiting and this request has {num_tokens} more; "
                f"the limit is {self._max_queue_tokens}",
                retry_after_seconds=1,
            )
        stream = EngineStream(deadline=deadline, cancel=self._leave)
        self._add(stream, sequences)
        return stream

    def extend(self, stream: EngineStream, sequences: list[Sequence]) -> None:
        """More sequences for a stream that was admitted: what follows from its first ones is never refused."""
        self._add(stream, sequences)

    # What a worker tells its owner.

    async def warm_up(self, worker: Worker) -> bool:
        self._on_loaded(worker.checkpoints)
        self._metrics.observe_kv(worker.name, num_bytes=sum(info.kv_bytes for info in worker.checkpoints))
        async with aclosing(EngineStream(deadline=None, cancel=self._leave)) as stream:
            tickets = [self._tickets.open(sequence, is_warm_up=True) for sequence in self._make_warm_up()]
            for ticket in tickets:
                self._tickets.listen(ticket, Listener(stream, ticket.sequence_id))
            self._dispatcher.assign(tickets, worker=worker)
            return not any([isinstance(event, SequenceFailed) async for events in stream for event in events])

    def on_ready(self, worker: Worker) -> None:
        logger.info("worker %s is ready: %s", worker.name, worker.checkpoints)
        if all(each.is_ready for each in self._workers):
            self._has_been_ready.set()
        self._dispatcher.assign_waiting()

    def on_report(self, worker: Worker, report: StepReport) -> None:
        self._metrics.observe_step(worker.name, report)
        for event in report.events:
            ticket = self._tickets.find(event.sequence_id)
            if ticket is None:  # it was cancelled while the step ran
                continue
            if isinstance(event, SourceEncoded):
                self._dispatcher.keep(ticket, event.encoder_output)
            else:
                self._receive(ticket, event)

    def on_lost(self, worker: Worker) -> None:
        self._metrics.observe_slots(worker.name, num_free=0, num_running=0)
        self._metrics.observe_kv(worker.name, num_bytes=0)
        for ticket in self._dispatcher.on_lost(worker):
            if ticket.was_replayed:
                self._receive(ticket, SequenceFailed(ticket.sequence_id, "its worker died, twice"))
            else:
                ticket.replay()
                self._tickets.wait_again(ticket)
        self._dispatcher.assign_waiting()

    def on_start_failed(self, worker: Worker, detail: str) -> bool:
        if not self._has_been_ready.is_set():
            self._on_fatal(detail)
            return False
        logger.error("worker %s: %s", worker.name, detail)
        return True

    def on_restart(self, worker: Worker) -> None:
        self._metrics.worker_restarts.labels(worker.name).inc()

    # Tickets.

    def _add(self, stream: EngineStream, sequences: list[Sequence]) -> None:
        opened = []
        for sequence in sequences:
            ticket = self._tickets.find_equal(sequence)
            if ticket is None:
                ticket = self._tickets.open(sequence)
                opened.append(ticket)
            else:
                self._metrics.coalesced.labels("request").inc()
            listener = Listener(stream, sequence.sequence_id)
            self._tickets.listen(ticket, listener)
            for event in ticket.so_far(sequence.sequence_id):
                self._push(ticket, listener, event)
        self._dispatcher.place(opened)

    def _leave(self, sequence_ids: Iterable[int]) -> None:
        """Whoever listened under these ids does so no more; what nobody listens to is cancelled."""
        by_worker: defaultdict[Worker, list[int]] = defaultdict(list)
        for ticket in [ticket for each in sequence_ids if (ticket := self._tickets.leave(each)) is not None]:
            self._dispatcher.share(ticket)
            if not ticket.listeners and ticket in self._tickets:
                self._metrics.cancelled_sentences.inc()
                if ticket.worker is not None:
                    by_worker[ticket.worker].append(ticket.sequence_id)
                self._close(ticket)
        for worker, cancelled in by_worker.items():
            worker.send(Cancel(cancelled))

    def _receive(self, ticket: Ticket, event: SequenceEvent) -> None:
        worker = ticket.worker
        news = ticket.news(event)
        if isinstance(event, SequenceStarted):
            self._tickets.stop_waiting(ticket)
            if news is not None and not event.encoded and ticket.encoder_output is None:
                self._metrics.coalesced.labels("encode").inc()
        if ticket.is_over:
            self._close(ticket)
        if isinstance(news, SequenceFailed):
            self._tickets.withhold(ticket)
            if news is not event and worker is not None:
                worker.send(Cancel([ticket.sequence_id]))
        if news is not None:
            for listener in ticket.listeners:
                self._push(ticket, listener, addressed(news, listener))

    def _push(self, ticket: Ticket, listener: Listener, event: SequenceEvent) -> None:
        if isinstance(event, SequenceStarted) and not ticket.is_warm_up:
            self._num_started[ticket.sequence.checkpoint, event.encoded] += 1
        listener.stream.push(event)

    def _close(self, ticket: Ticket) -> None:
        self._dispatcher.release(ticket)
        self._tickets.close(ticket)
