"""The worker process: inbox -> scheduler -> runner -> outbox.

The life of a step: (1) read the inbox, blocking while idle; (2) drop what was cancelled; (3) admit waiting sequences
and encode their sources; (4) decode one token for every running row; (5) free the slots of rows that ended; (6) send
one report. A failed step fails the rows in it and the loop goes on; anything else that fails ends the process, and the
service process starts another.
The worker ends when its channel does: it never outlives the service process.
"""

import logging
import sys
import time
from collections.abc import Callable, Mapping
from collections.abc import Sequence as SequenceOf
from pathlib import Path
from typing import Protocol

import msgspec

from model.checkpoint.config import CheckpointError
from model.search.types import Progress
from model.transformer.compute_types import ComputeTypeError
from service.engine.channel import Channel
from service.engine.loading import LoadedCheckpoint, load_checkpoint
from service.engine.runner import Runner
from service.engine.scheduler import Entry, Scheduler
from service.engine.slots import Move
from service.engine.types import (
    Cancel,
    CheckpointSpec,
    Loaded,
    LoadFailed,
    Sequence,
    SequenceStarted,
    SourceEncoded,
    StepReport,
    StepStats,
    Submit,
    ToWorker,
    WorkerEvent,
    WorkerSpec,
)

logger = logging.getLogger(__name__)


class StepRunner(Protocol):
    """What the loop asks of a runner; `Runner` says what each call does."""

    def admit(self, entries: SequenceOf[Entry]) -> int: ...
    def encoder_output(self, entry: Entry) -> bytes: ...
    def step(self, num_rows: int) -> list[Progress]: ...
    def move(self, move: Move) -> None: ...


class EngineLoop:
    """The step of one checkpoint."""

    def __init__(
        self,
        runner: StepRunner,
        scheduler: Scheduler,
        *,
        min_cached_tokens: int | None = None,
        clock: Callable[[], float],
    ) -> None:
        """What shorter sources than `min_cached_tokens` are encoded to is not told; None: nothing is."""
        self._runner = runner
        self._scheduler = scheduler
        self._min_cached_tokens = min_cached_tokens
        self._clock = clock

    @property
    def is_idle(self) -> bool:
        return self._scheduler.is_idle

    @property
    def num_running(self) -> int:
        return len(self._scheduler.running)

    @property
    def num_free_slots(self) -> int:
        return self._scheduler.num_free_slots

    def submit(self, sequence: Sequence, encoder_output: bytes | None = None) -> None:
        self._scheduler.submit(sequence, now=self._clock(), encoder_output=encoder_output)

    def cancel(self, sequence_ids: list[int]) -> None:
        self._carry_out(self._scheduler.cancel(sequence_ids))

    def step(self) -> tuple[list[WorkerEvent], StepStats]:
        """Admit, decode, release: what happened, in order."""
        began = self._clock()
        events, num_source_tokens, num_padding_tokens = self._admit(began)
        encoded = self._clock()
        num_rows = len(self._scheduler.running)
        events += self._decode()
        if self.is_idle:
            self._scheduler.check_idle()
        stats = StepStats(
            decode_seconds=self._clock() - encoded if num_rows else 0.0,
            encode_seconds=encoded - began if num_source_tokens else 0.0,
            num_rows=num_rows,
            num_source_tokens=num_source_tokens,
            num_padding_tokens=num_padding_tokens,
        )
        return events, stats

    def _admit(self, now: float) -> tuple[list[WorkerEvent], int, int]:
        """Returns the events, and the numbers of source and padding tokens encoded."""
        entries = self._scheduler.admit(now=now)
        if not entries:
            return [], 0, 0
        # The first entry of each source that is not encoded yet stands for its encoding.
        encodes = {entry.source: entry for entry in reversed(entries) if entry.source.encoded is None}
        failures: SequenceOf[WorkerEvent] | None = None
        try:
            num_padding_tokens = self._runner.admit(entries)
        except Exception as error:
            logger.exception("admitting %d sequences failed", len(entries))
            failures = self._fail(entries, error)
        seconds = self._clock() - now
        events: list[WorkerEvent] = [
            SequenceStarted(
                entry.sequence.sequence_id,
                now - entry.arrived_at,
                encodes.get(entry.source) is entry,
                started_at=now,
                encode_seconds=seconds,
            )
            for entry in entries
        ]
        if failures is not None:
            return [*events, *failures], 0, 0
        events += [
            SourceEncoded(entry.sequence.sequence_id, self._runner.encoder_output(entry))
            for entry in encodes.values()
            if self._is_cached(entry)
        ]
        return events, sum(len(source.ids) for source in encodes), num_padding_tokens

    def _is_cached(self, entry: Entry) -> bool:
        least = self._min_cached_tokens
        return entry.sequence.is_cacheable and least is not None and len(entry.source.ids) >= least

    def _decode(self) -> SequenceOf[WorkerEvent]:
        num_rows = len(self._scheduler.running)
        if not num_rows:
            return []
        try:
            progress = self._runner.step(num_rows)
        except Exception as error:
            logger.exception("a step over %d rows failed", num_rows)
            return self._fail(self._scheduler.running_entries, error)
        events, moves = self._scheduler.advance(progress)
        self._carry_out(moves)
        return events

    def _fail(self, entries: SequenceOf[Entry], error: Exception) -> SequenceOf[WorkerEvent]:
        events, moves = self._scheduler.fail(entries, detail=f"the step failed: {type(error).__name__}")
        self._carry_out(moves)
        return events

    def _carry_out(self, moves: list[Move]) -> None:
        for move in moves:
            self._runner.move(move)


class Engine:
    """All checkpoints of a worker: each has its own caches and batch, and they take turns, a step each."""

    def __init__(self, loops: SequenceOf[EngineLoop]) -> None:
        self._loops = loops

    @property
    def is_idle(self) -> bool:
        return all(loop.is_idle for loop in self._loops)

    def receive(self, message: ToWorker) -> None:
        match message:
            case Submit(sequences, encoder_outputs):
                for sequence in sequences:
                    loop = self._loops[sequence.checkpoint]
                    loop.submit(sequence, encoder_outputs.get(sequence.sequence_id))
            case Cancel(sequence_ids):
                for loop in self._loops:
                    loop.cancel(sequence_ids)

    def step(self) -> StepReport:
        """One step of every checkpoint that has something to do."""
        events: list[WorkerEvent] = []
        steps: list[StepStats] = []
        for loop in self._loops:
            if not loop.is_idle:
                loop_events, stats = loop.step()
                events += loop_events
                steps.append(stats)
        return StepReport(
            events,
            steps,
            num_running=sum(loop.num_running for loop in self._loops),
            num_free_slots=sum(loop.num_free_slots for loop in self._loops),
        )


def serve(channel: Channel, engine: Engine) -> None:
    """Step until the service process is gone."""
    decoder = msgspec.msgpack.Decoder(ToWorker)
    encoder = msgspec.msgpack.Encoder()
    while True:
        for payload in channel.receive(block=engine.is_idle):
            engine.receive(decoder.decode(payload))
        channel.send(encoder.encode(engine.step()))


def load(checkpoint: CheckpointSpec, spec: WorkerSpec, *, num_threads: int) -> LoadedCheckpoint:
    """As `load_checkpoint`."""
    return load_checkpoint(
        Path(checkpoint.directory),
        name=checkpoint.name,
        compute_type=spec.compute_type,
        device=spec.device,
        num_threads=num_threads,
        needs_fingerprint=spec.min_cached_tokens is not None,
    )


def run(channel: Channel, spec: WorkerSpec, loaded: Mapping[CheckpointSpec, LoadedCheckpoint]) -> None:
    """Load of `spec` what is not in `loaded`, then serve. Raises SystemExit where a checkpoint cannot be served."""
    runners = []
    for checkpoint in spec.checkpoints:
        try:
            ready = loaded.get(checkpoint) or load(checkpoint, spec, num_threads=spec.num_threads)
            runners.append(Runner(ready, checkpoint, spec))
        except ComputeTypeError as error:
            detail = f"KAKEHASHI_COMPUTE_TYPE={spec.compute_type} cannot be used: {error}"
            channel.send(msgspec.msgpack.encode(LoadFailed(detail)))
            sys.exit(1)
        except Exception as error:  # whatever it is, the service process must be told and the server not start
            cause = str(error) if isinstance(error, CheckpointError) else f"{type(error).__name__}: {error}"
            channel.send(msgspec.msgpack.encode(LoadFailed(f"cannot serve {checkpoint.name}: {cause}")))
            sys.exit(1)
    channel.send(msgspec.msgpack.encode(Loaded([runner.info for runner in runners])))
    serve(channel, Engine([_make_loop(runner, spec) for runner in runners]))


def _make_loop(runner: Runner, spec: WorkerSpec) -> EngineLoop:
    scheduler = Scheduler(
        max_rows=runner.info.max_rows,
        max_encode_tokens=spec.max_encode_tokens,
        max_bulk_wait_seconds=spec.max_bulk_wait_seconds,
    )
    return EngineLoop(runner, scheduler, min_cached_tokens=spec.min_cached_tokens, clock=time.monotonic)
