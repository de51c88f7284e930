"""The engine as the service process sees it: submit decodes, read their events, close to cancel.

A submission joins equal decodes in flight, looks new sources up in the encoder cache, with one round trip to the shared
tier, and passes the decodes to the dispatcher. When a worker dies, its work is decoded again elsewhere. The targets
that end, and the time they take, teach how much work a request is and when it will be done.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count

import msgspec

from model.search.spec import DecodeSpec
from service.cache.encoder_cache import EncoderCache
from service.engine.cost import decode_cost
from service.engine.decode import Decode, PreparedDecode
from service.engine.dispatcher import Dispatcher
from service.engine.events import Event, Failed, Started
from service.engine.fork_server_process import ForkServerProcess, LoadFailedError, WorkerStartError
from service.engine.in_flight import InFlight
from service.engine.observer import EngineObserver
from service.engine.owner import Owner, Priority
from service.engine.quarantine import Quarantine
from service.engine.room import Room
from service.engine.source_lookup import SourceLookup
from service.engine.subscription import Subscription
from service.engine.target_lengths import TargetLengths
from service.engine.throughput import Throughput
from service.engine.types import CheckpointInfo, StepReport, WorkerSpec
from service.engine.worker_handle import WorkerHandle
from service.errors import DrainingError, EngineFailedError, NotReadyError

logger = logging.getLogger(__name__)

MAX_DEATHS = 2
"""The number of deaths after which a decode that was aboard each time is refused."""
MAX_FAILED_STARTS = 3
"""The number of times that workers may die before one has ever been ready; one may have had bad luck."""


class Engine:
    def __init__(
        self,
        specs: Sequence[WorkerSpec],
        *,
        fork_server: ForkServerProcess,
        cache: EncoderCache,
        max_queue_tokens: int,
        max_silence_seconds: float,
        max_load_seconds: float,
        observer: EngineObserver,
        on_loaded: Callable[[Sequence[CheckpointInfo]], None],
        on_fatal: Callable[[WorkerStartError], None],
    ) -> None:
        """Runs a worker for each spec, and ends one that is not ready after `max_load_seconds`, or is silent too long.

        That is, one that has work but does not report for `max_silence_seconds`. `aclose` closes `fork_server`.
        `on_loaded` is called whenever a worker has loaded its checkpoints. `on_fatal` is called with the cause if the
        first start fails: a checkpoint cannot be loaded, or not in time, or workers die MAX_FAILED_STARTS times while
        they load.
        """
        self.max_queue_tokens = max_queue_tokens
        self._fork_server = fork_server
        self._workers = [
            WorkerHandle(
                str(index),
                spec,
                self,
                fork_server,
                max_silence_seconds=max_silence_seconds,
                max_load_seconds=max_load_seconds,
            )
            for index, spec in enumerate(specs)
        ]
        self._in_flight = InFlight()
        self._lengths = TargetLengths()
        self._throughput = Throughput()
        self._room = Room(self._in_flight.backlog, max_queue_tokens=max_queue_tokens, speed=self._tokens_per_second)
        self._dispatcher = Dispatcher(self._workers, self._in_flight, self._throughput)
        self._lookup = SourceLookup(cache, self._dispatcher.place)
        self._quarantine = Quarantine()
        self._cache = cache
        self._observer = observer
        self._on_loaded = on_loaded
        self._on_fatal = on_fatal
        self._request_ids = count(1)
        self._num_started: Counter[tuple[str, bool]] = Counter()
        """Decodes by checkpoint and by whether their source was encoded for them, counted once a subscriber."""
        self._has_been_ready = asyncio.Event()
        self._num_failed_starts = 0
        self._without_worker_since: float | None = None
        self._supervisions: list[asyncio.Task[None]] = []

    @property
    def is_ready(self) -> bool:
        """Whether every worker has been ready before and at least one is ready now."""
        return self._has_been_ready.is_set() and any(worker.is_ready for worker in self._workers)

    @property
    def num_ready(self) -> int:
        return sum(worker.is_ready for worker in self._workers)

    @property
    def seconds_without_worker(self) -> float:
        """The time since the last ready worker was lost; 0 while there is one, and before the first start has ended."""
        if self._without_worker_since is None or self.num_ready:
            return 0.0
        return time.monotonic() - self._without_worker_since

    @property
    def workers(self) -> Sequence[WorkerHandle]:
        return self._workers

    @property
    def num_workers(self) -> int:
        return len(self._workers)

    @property
    def checkpoints(self) -> Mapping[str, CheckpointInfo]:
        """The loaded checkpoints by name; empty until the first worker has loaded them."""
        loaded = next((worker.checkpoints for worker in self._workers if worker.checkpoints), [])
        return {info.name: info for info in loaded}

    @property
    def num_waiting(self) -> int:
        """The number of decodes that wait for rows."""
        return self._in_flight.num_waiting

    @property
    def queue_tokens(self) -> int:
        """The tokens that decodes without rows are expected to generate."""
        return self._in_flight.queue_tokens

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in flight and nothing was left behind."""
        return self._in_flight.is_idle

    @property
    def min_rows(self) -> int:
        """The rows of the smallest batch. Raises NotReadyError until a worker has loaded."""
        checkpoints = self.checkpoints
        if not checkpoints:
            raise NotReadyError("no worker is ready yet", retry_after_seconds=1)
        return min(info.max_rows for info in checkpoints.values())

    def encoder_cache_use(self, checkpoint: str) -> tuple[int, int]:
        """The numbers of sentences so far that did not need encoding, and that did."""
        return self._num_started[checkpoint, False], self._num_started[checkpoint, True]

    def start(self) -> None:
        """Start the workers in the background; `is_ready` shows when they have started."""
        self._supervisions = [asyncio.create_task(worker.supervise()) for worker in self._workers]

    async def wait_ready(self) -> None:
        """Wait until every worker has been ready once. Never returns if `on_fatal` is called instead."""
        await self._has_been_ready.wait()

    async def aclose(self) -> None:
        """End the workers. Open subscriptions end with a DrainingError, and nothing new is accepted."""
        self._has_been_ready.clear()
        for subscription in self._in_flight.subscriptions():
            subscription.abort(DrainingError("the server is shutting down", retry_after_seconds=5))
        await self._lookup.aclose()
        for supervision in self._supervisions:
            supervision.cancel()
        await asyncio.gather(*self._supervisions, return_exceptions=True)
        await self._fork_server.aclose()

    @property
    def retry_after_seconds(self) -> int:
        """The whole seconds in which the work so far will be done, at least 1."""
        return self._room.retry_after_seconds()

    def check_room(self, client: str) -> None:
        """Raises NotReadyError, or QueueFullError if the queue is full for this client."""
        self._check_ready()
        self._room.check_gate(client, num_waiting=self.queue_tokens)

    def check_estimate(self, num_tokens: int, *, client: str, priority: Priority, deadline: float) -> None:
        """Check work whose size is an estimate, before anything is done for it.

        Raises QueueFullError or DeadlineUnreachableError if `num_tokens` more clearly have no room or would clearly
        take longer, in the event loop's time.
        """
        self._room.check_estimate(num_tokens, client, num_waiting=self.queue_tokens)
        self._check_deadline(num_tokens, client=client, priority=priority, deadline=deadline)

    def _check_deadline(self, num_tokens: int, *, client: str, priority: Priority, deadline: float) -> None:
        self._room.check_deadline(
            num_tokens,
            client=client,
            priority=priority,
            seconds_left=deadline - asyncio.get_running_loop().time(),
        )

    def _tokens_per_second(self) -> float | None:
        """The speed of all ready workers."""
        speed = self._throughput.tokens_per_second(now=time.monotonic())
        return None if speed is None else speed * max(1, self.num_ready)

    def _check_ready(self) -> None:
        if not self.is_ready:
            raise NotReadyError("no worker is ready", retry_after_seconds=1)

    def expected_tokens(self, decodes: Sequence[PreparedDecode]) -> int:
        """The tokens that these are expected to generate, over all rows."""
        return sum(decode_cost(each.spec, self._lengths) for each in decodes)

    def prepare(self, specs: Sequence[DecodeSpec], *, is_cacheable: bool) -> list[PreparedDecode]:
        """Encode messages and cache keys. Changes nothing and may run in any thread."""
        encode = msgspec.msgpack.Encoder().encode
        return [
            PreparedDecode(
                spec, encode(spec), self._cache.wanted(spec.checkpoint, spec.source_ids) if is_cacheable else None
            )
            for spec in specs
        ]

    def submit(
        self,
        decodes: Sequence[PreparedDecode],
        *,
        client: str,
        priority: Priority,
        is_streamed: bool,
        deadline: float | None,
    ) -> Subscription:
        """Start or join these decodes, which must differ. `deadline` is in the event loop's time.

        `client` is the name of an API key; empty without keys. Clients take turns first, then the requests of each.
        Raises NotReadyError, QueueFullError if the work has no room or cannot meet its deadline, and EngineFailedError
        for a decode that was aboard when two workers died. After an error nothing has changed.
        """
        self._check_ready()
        self._check_work(decodes, client=client, priority=priority, deadline=deadline)
        self._check_quarantine(decodes)
        subscription = Subscription(
            Owner(client, next(self._request_ids), priority),
            deadline=deadline,
            leave=self._leave,
        )
        self._in_flight.register(subscription)
        self.extend(subscription, decodes, is_streamed=is_streamed)
        return subscription

    def extend(self, subscription: Subscription, decodes: Sequence[PreparedDecode], *, is_streamed: bool) -> None:
        """Add decodes to an admitted request, with the next keys. Raises EngineFailedError as `submit` does.

        After the deadline they are not decoded: the reader gets the error instead of their events.
        """
        self._check_quarantine(decodes)
        if subscription.has_left:
            for _ in decodes:
                subscription.expect()
            return
        opened: list[Decode] = []
        for prepared in decodes:
            decode = self._in_flight.find_equal(prepared.spec)
            if decode is None:
                decode = self._in_flight.open(
                    prepared,
                    subscription.owner,
                    cost=decode_cost(prepared.spec, self._lengths),
                    is_streamed=is_streamed,
                )
                opened.append(decode)
            else:
                self._observer.on_shared_work("request")
                self._join(decode, priority=subscription.owner.priority, is_streamed=is_streamed)
            if decode.has_started:
                self._num_started[decode.spec.checkpoint, False] += 1
            self._in_flight.subscribe(subscription, decode)
        self._lookup.look_up(opened)

    def _check_work(
        self, decodes: Sequence[PreparedDecode], *, client: str, priority: Priority, deadline: float | None
    ) -> None:
        """Raises QueueFullError or DeadlineUnreachableError."""
        find_equal = self._in_flight.find_equal
        num_tokens = self.expected_tokens([each for each in decodes if find_equal(each.spec) is None])
        self._room.check(num_tokens, client, num_waiting=self.queue_tokens)
        if deadline is not None:
            self._check_deadline(num_tokens, client=client, priority=priority, deadline=deadline)

    def _check_quarantine(self, decodes: Sequence[PreparedDecode]) -> None:
        now = time.monotonic()
        if any(self._quarantine.holds(decode.spec, now=now) for decode in decodes):
            raise EngineFailedError("two workers died decoding a sentence of this request; it is refused for a while")

    # Reports of the workers.

    def on_ready(self, worker: WorkerHandle) -> None:
        logger.info("worker %s is ready: %s", worker.name, ", ".join(map(str, worker.checkpoints)))
        self._on_loaded(worker.checkpoints)
        self._observer.on_worker_ready(worker.name, worker.checkpoints)
        if all(each.is_ready for each in self._workers):
            self._has_been_ready.set()
        self._without_worker_since = None
        self._dispatcher.dispatch()

    def on_report(self, worker: WorkerHandle, report: StepReport) -> None:
        self._without_worker_since = None  # also if the worker was only in doubt
        self._observer.on_turn(worker.name, report)
        self._throughput.report(
            worker.name,
            now=time.monotonic(),
            turn_seconds=sum(step.encode_seconds + step.decode_seconds for step in report.steps),
            num_tokens=sum(step.num_rows * step.num_steps for step in report.steps),
            leaves_waiting=report.num_waiting > 0,
        )
        for started in report.started:
            self._receive(worker, started.decode_id, started)
        for encoded in report.encoded:
            decode = self._find(worker, encoded.decode_id)
            if decode is not None:
                self._lookup.keep(decode, encoded.encoder_output)
                self._dispatcher.take_output(decode, encoded.encoder_output)
        for progress in report.progress:
            self._receive(worker, progress.decode_id, progress)
        for failed in report.failed:
            self._receive(worker, failed.decode_id, failed)
        self._dispatcher.dispatch()

    def on_lost(self, worker: WorkerHandle, last_entries: list[int]) -> None:
        self._observer.on_worker_lost(worker.name)
        if self._has_been_ready.is_set() and self._without_worker_since is None and not self.num_ready:
            self._without_worker_since = time.monotonic()
        self._throughput.lose(worker.name)
        for decode_id in last_entries:
            decode = self._find(worker, decode_id)
            if decode is not None:
                decode.is_aboard = True
        again: list[Decode] = []
        for decode in self._dispatcher.take_back(worker):
            decode.replay()
            if decode.num_deaths < MAX_DEATHS:
                self._in_flight.wait_again(decode)
                again.append(decode)
            else:
                self._quarantine.add(decode.spec, now=time.monotonic())
                self._deliver(decode, Failed(decode.decode_id, "it was being decoded when two workers died"))
        self._dispatcher.place(again)

    def on_start_failed(self, worker: WorkerHandle, error: WorkerStartError) -> bool:
        if not self._has_been_ready.is_set():
            self._num_failed_starts += 1
            if isinstance(error, LoadFailedError) or self._num_failed_starts >= MAX_FAILED_STARTS:
                self._on_fatal(error)
                return False
        logger.error("worker %s: %s", worker.name, error)
        return True

    def on_restart(self, worker: WorkerHandle) -> None:
        self._observer.on_worker_restarted(worker.name)

    # Decodes.

    def _join(self, decode: Decode, *, priority: Priority, is_streamed: bool) -> None:
        """Raise the urgency of the decode, and report it token by token, if its new subscriber needs that."""
        is_more_urgent = priority == "interactive" and decode.priority == "bulk"
        begins_to_stream = is_streamed and not decode.is_streamed
        if decode.is_over or not (is_more_urgent or begins_to_stream):
            return
        if is_more_urgent:
            self._in_flight.make_interactive(decode)
        decode.is_streamed = decode.is_streamed or begins_to_stream
        self._dispatcher.update(decode)

    def _leave(self, subscription: Subscription) -> None:
        """Cancel decodes without subscribers, and pass their encoder outputs to the shared cache."""
        cancelled: list[Decode] = []
        for decode in self._in_flight.unsubscribe(subscription):
            self._lookup.share(decode)
            if not decode.subscribers and not decode.is_over:
                self._observer.on_cancelled()
                self._in_flight.close(decode)
                cancelled.append(decode)
        self._dispatcher.cancel(cancelled)

    def _find(self, worker: WorkerHandle, decode_id: int) -> Decode | None:
        """An open decode of this worker. A report may arrive after its decode was cancelled."""
        decode = self._in_flight.find(decode_id)
        return decode if decode is not None and decode.worker is worker else None

    def _receive(self, worker: WorkerHandle, decode_id: int, event: Event) -> None:
        decode = self._find(worker, decode_id)
        if decode is None:
            return
        if isinstance(event, Started):
            self._in_flight.stop_waiting(decode)
            decode.is_aboard = True
            if not (decode.has_started or event.encoded or decode.came_with_output):
                self._observer.on_shared_work("encode")
        news = decode.receive(event)
        if isinstance(news, Failed) and news is not event:  # a replay that differs: its worker still runs it
            self._dispatcher.cancel([decode])
        if news is not None:
            self._deliver(decode, news)

    def _deliver(self, decode: Decode, news: Event) -> None:
        if isinstance(news, Failed):
            self._in_flight.withhold(decode)
            decode.is_over = True
        if decode.is_over:
            if decode.hypotheses:
                best = decode.hypotheses[0]
                self._lengths.learn(decode.spec, num_tokens=len(best.token_ids), finish_reason=best.finish_reason)
            self._in_flight.close(decode)
            self._dispatcher.release(decode)
        for index, (subscription, key) in enumerate(decode.subscribers.items()):
            event = news
            if isinstance(news, Started):
                event = news if index == 0 else msgspec.structs.replace(news, encoded=False, encode_seconds=0.0)
                self._num_started[decode.spec.checkpoint, event.encoded] += 1
            subscription.push(key, event)
