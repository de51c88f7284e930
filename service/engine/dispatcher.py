"""Choose the worker of a decode, and the encoder output that it takes along.

A decode goes to the ready worker that will have done its expected work first: its tokens over all rows, and the tokens
of the decode's source if that worker has not encoded it, at the worker's speed, because workers that share their cores
with other processes differ. So decodes of one source stay together until another worker is so much less busy that the
source is worth moving; such decodes wait for the encoder output and take it along.

A decode that was aboard a worker when it died may be the cause. These suspects are replayed one by one, alone on a
worker, so that the next death identifies the right one.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from service.engine.cost import encode_cost
from service.engine.decode import Decode, to_message
from service.engine.in_flight import InFlight
from service.engine.throughput import Throughput
from service.engine.types import Cancel, EncodedSubmit, Update
from service.engine.worker_handle import WorkerHandle

MAX_MESSAGE_BYTES = 1 << 20
"""The most bytes of encoder outputs in one message, which a worker reads between two steps."""


@dataclass(slots=True)
class _Batch:
    """The messages for one worker."""

    message: EncodedSubmit = field(default_factory=lambda: EncodedSubmit([], {}))
    num_output_bytes: int = 0


class Dispatcher:
    def __init__(self, workers: Sequence[WorkerHandle], in_flight: InFlight, throughput: Throughput) -> None:
        self._workers = workers
        self._in_flight = in_flight
        self._throughput = throughput
        self._unplaced: dict[int, Decode] = {}
        self._suspects: deque[Decode] = deque()
        self._suspect: Decode | None = None
        """The suspect that is aboard, alone."""
        self._host: WorkerHandle | None = None
        """The worker that takes suspects, and no other work meanwhile."""

    def place(self, decodes: Iterable[Decode]) -> None:
        """Send these to workers, now or as soon as one accepts them."""
        for decode in decodes:
            if decode.num_deaths:
                self._suspects.append(decode)
            else:
                self._unplaced[decode.decode_id] = decode
        self.dispatch()

    def dispatch(self) -> None:
        """Send decodes that wait for a worker, as long as any accepts them."""
        if not (self._unplaced or self._suspects or self._suspect):
            return
        usable = [worker for worker in self._workers if worker.takes_work]
        usable = self._without_host(usable)
        if not usable or not self._unplaced:
            return
        unplaced, self._unplaced = self._unplaced, {}
        batches: dict[WorkerHandle, _Batch] = {}
        for decode in unplaced.values():
            worker = self._choose(decode, usable)
            if worker is not None:
                self._assign(decode, worker, batches.setdefault(worker, _Batch()))
        for worker, batch in batches.items():
            _send(worker, batch)

    def update(self, decode: Decode) -> None:
        """Inform the worker that a more urgent or streaming request has joined."""
        if decode.worker is not None:
            update = Update(decode.decode_id, decode.priority, decode.is_streamed)
            decode.worker.send(msgspec.msgpack.encode(update))

    def take_output(self, decode: Decode, encoder_output: bytes) -> None:
        """The worker has encoded the source of `decode`: decodes that wait for it can take it to other workers."""
        source = decode.source
        if source.encoder == decode.decode_id:
            source.encoder = None
        held = self._release_held(decode)
        for each in held:
            each.encoder_output = encoder_output
        self.place(held)

    def release(self, decode: Decode) -> None:
        """Remove a decode that has ended or whose worker is gone."""
        self._unplaced.pop(decode.decode_id, None)
        if decode.worker is not None:
            decode.worker.num_decodes -= 1
            decode.worker.cost -= decode.cost
            decode.worker = None
        if decode is self._suspect:
            self._suspect = None
        held: list[Decode] = []
        if decode.source.encoder == decode.decode_id:  # it ended before the output was reported
            decode.source.encoder = None
            held = self._release_held(decode)
        self.place(held)

    def cancel(self, decodes: Iterable[Decode]) -> None:
        """Release these and inform their workers."""
        by_worker: dict[WorkerHandle, list[int]] = {}
        for decode in decodes:
            if decode.worker is not None:
                by_worker.setdefault(decode.worker, []).append(decode.decode_id)
            elif decode.num_deaths and decode in self._suspects:
                self._suspects.remove(decode)
            self.release(decode)
        for worker, decode_ids in by_worker.items():
            worker.send(msgspec.msgpack.encode(Cancel(decode_ids)))

    def take_back(self, worker: WorkerHandle) -> list[Decode]:
        """Release and return all decodes of a dead worker."""
        lost = [decode for decode in self._in_flight if decode.worker is worker]
        for decode in lost:
            if decode.source.worker is worker:
                decode.source.worker = None
            self.release(decode)
        if worker is self._host:
            self._host = None
        return lost

    def _without_host(self, usable: list[WorkerHandle]) -> list[WorkerHandle]:
        """Send the next suspect to its host if that is free. Returns the workers for ordinary work."""
        if self._suspect is None and not self._suspects:
            self._host = None
            return usable
        if self._host is None and usable:
            self._host = min(usable, key=self._time)
        host = self._host
        if host is not None and host in usable and self._suspect is None and not host.num_decodes:
            self._suspect = self._suspects.popleft()
            batch = _Batch()
            self._assign(self._suspect, host, batch)
            _send(host, batch)
        return [worker for worker in usable if worker is not host]

    def _choose(self, decode: Decode, usable: Sequence[WorkerHandle]) -> WorkerHandle | None:
        """The worker of a decode; None: the decode waits for its encoder output."""
        best = min(usable, key=self._time)
        source = decode.source
        if decode.encoder_output is not None or source.worker is None or source.worker not in usable:
            return best
        if self._time(source.worker) <= self._time(best, num_more=encode_cost(decode.spec)):
            return source.worker
        if source.encoder is not None:
            source.held.append(decode.decode_id)
            return None
        return best

    def _time(self, worker: WorkerHandle, *, num_more: int = 0) -> float:
        """The time of a worker's expected work and `num_more` tokens, in tokens of an average worker."""
        return (worker.cost + num_more) / self._throughput.relative(worker.name)

    def _assign(self, decode: Decode, worker: WorkerHandle, batch: _Batch) -> None:
        source, output = decode.source, decode.encoder_output
        decode.worker = worker
        worker.num_decodes += 1
        worker.cost += decode.cost
        returns_output = False
        if output is not None:
            if batch.num_output_bytes + len(output) > MAX_MESSAGE_BYTES:
                _send(worker, batch)
                batch.message, batch.num_output_bytes = EncodedSubmit([], {}), 0
            batch.message.encoder_outputs[decode.decode_id] = output
            batch.num_output_bytes += len(output)
            decode.encoder_output = None
        elif source.worker is not worker:
            # For the cache, or for decodes of the same source on less busy workers.
            returns_output = decode.prepared.output_key is not None or len(self._workers) > 1
            source.worker = worker
            source.encoder = decode.decode_id if returns_output else None
        batch.message.work.append(to_message(decode, returns_encoder_output=returns_output))

    def _release_held(self, decode: Decode) -> list[Decode]:
        held_ids, decode.source.held = decode.source.held, []
        return [held for each in held_ids if (held := self._in_flight.find(each)) is not None]


def _send(worker: WorkerHandle, batch: _Batch) -> None:
    if batch.message.work:
        worker.send(msgspec.msgpack.encode(batch.message))
