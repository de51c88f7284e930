"""The worker process: inbox -> scheduler -> runner -> outbox.

The life of a step: (1) read the inbox, blocking while idle; (2) drop what was cancelled; (3) admit waiting sequences
and encode their sources; (4) decode one token for every running row; (5) free the slots of rows that ended; (6) send
one report. A failed step fails the rows in it and the loop goes on; anything else that fails ends the process, and the
service process starts another.
The worker ends when its channel does: it never outlives the service process.
"""

import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from model.config import CheckpointError
from service.engine.channel import Channel
from service.engine.runner import Runner
from service.engine.scheduler import Row, Scheduler
from service.engine.slots import Move
from service.engine.types import (
    Cancel,
    Loaded,
    LoadFailed,
    SequenceEvent,
    SequenceStarted,
    StepReport,
    StepStats,
    Submit,
    ToWorker,
    WorkerSpec,
)
from service.log import configure_logging

logger = logging.getLogger(__name__)


class StepRunner(Protocol):
    """What the loop asks of a runner; `Runner` says what each call does."""

    def admit(self, rows: Sequence[Row]) -> int: ...
    def step(self, num_rows: int) -> list[tuple[int, float]]: ...
    def move(self, move: Move) -> None: ...


class EngineLoop:
    """The step of a worker, apart from its sockets."""

    def __init__(self, runner: StepRunner, scheduler: Scheduler, *, clock: Callable[[], float]) -> None:
        self._runner = runner
        self._scheduler = scheduler
        self._clock = clock

    @property
    def is_idle(self) -> bool:
        return self._scheduler.is_idle

    def receive(self, message: ToWorker) -> None:
        match message:
            case Submit(sequences):
                for sequence in sequences:
                    self._scheduler.submit(sequence, now=self._clock())
            case Cancel(sequence_ids):
                self._carry_out(self._scheduler.cancel(sequence_ids))

    def step(self) -> StepReport:
        """Admit, decode, release; everything that happened is in the report."""
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
            num_running=len(self._scheduler.running),
            num_free_slots=self._scheduler.num_free_slots,
            num_source_tokens=num_source_tokens,
            num_padding_tokens=num_padding_tokens,
        )
        return StepReport(events, stats)

    def _admit(self, now: float) -> tuple[list[SequenceEvent], int, int]:
        """Returns the events, and the numbers of source and padding tokens encoded."""
        rows = self._scheduler.admit(now=now)
        if not rows:
            return [], 0, 0
        # The first row of each source that is not encoded yet stands for its encoding.
        encodes = {row.source: row for row in reversed(rows) if row.source.encoded is None}
        events: list[SequenceEvent] = [
            SequenceStarted(row.sequence.sequence_id, now - row.arrived_at, encodes.get(row.source) is row)
            for row in rows
        ]
        try:
            num_padding_tokens = self._runner.admit(rows)
        except Exception as error:
            logger.exception("admitting %d sequences failed", len(rows))
            return [*events, *self._fail(rows, error)], 0, 0
        return events, sum(len(source.ids) for source in encodes), num_padding_tokens

    def _decode(self) -> Sequence[SequenceEvent]:
        running = self._scheduler.running
        if not running:
            return []
        try:
            choices = self._runner.step(len(running))
        except Exception as error:
            logger.exception("a step over %d rows failed", len(running))
            return self._fail(running, error)
        events, moves = self._scheduler.advance(choices)
        self._carry_out(moves)
        return events

    def _fail(self, rows: Sequence[Row], error: Exception) -> Sequence[SequenceEvent]:
        events, moves = self._scheduler.fail(rows, detail=f"the step failed: {type(error).__name__}")
        self._carry_out(moves)
        return events

    def _carry_out(self, moves: list[Move]) -> None:
        for move in moves:
            self._runner.move(move)


def serve(channel: Channel, loop: EngineLoop) -> None:
    """Step until the service process is gone."""
    decoder = msgspec.msgpack.Decoder(ToWorker)
    encoder = msgspec.msgpack.Encoder()
    while True:
        for payload in channel.receive(block=loop.is_idle):
            loop.receive(decoder.decode(payload))
        channel.send(encoder.encode(loop.step()))


def run(channel: Channel) -> None:
    """Load what the first message says, then serve. Raises SystemExit where it cannot be loaded."""
    (payload,) = channel.receive(block=True)
    spec = msgspec.msgpack.decode(payload, type=WorkerSpec)
    configure_logging(log_format=spec.log_format, log_level=spec.log_level)
    try:
        runner = Runner(spec)
    except Exception as error:  # whatever it is, the service process must be told and the server not start
        cause = str(error) if isinstance(error, CheckpointError) else f"{type(error).__name__}: {error}"
        channel.send(msgspec.msgpack.encode(LoadFailed(f"cannot serve {spec.checkpoint_name}: {cause}")))
        sys.exit(1)
    channel.send(msgspec.msgpack.encode(Loaded(runner.info)))
    checkpoint = runner.checkpoint
    scheduler = Scheduler(
        max_rows=runner.info.max_rows,
        max_encode_tokens=spec.max_encode_tokens,
        max_bulk_wait_seconds=spec.max_bulk_wait_seconds,
        eos_token_id=checkpoint.config.eos_token_id,
        forces_eos=checkpoint.generation.forced_eos_token_id is not None,
    )
    serve(channel, EngineLoop(runner, scheduler, clock=time.monotonic))


def main() -> None:
    """Run as `python -m service.engine.worker FD`: the number of the channel's inherited file descriptor."""
    # A terminal's Ctrl-C and a supervisor's SIGTERM reach the whole group; the service process decides when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        try:
            run(Channel(connection))
        except (EOFError, ConnectionError):
            logger.debug("the service process is gone")


if __name__ == "__main__":
    main()
