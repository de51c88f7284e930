"""The worker process: inbox -> schedulers -> batches -> reports.

The life of a turn: (1) read the inbox, blocking while idle; (2) choose which waiting decodes get rows, and announce
them; (3) encode their sources and fill their rows; (4) decode a token for every row; (5) send one report. Anything that
fails beyond a step ends the process, and the service process replays its work elsewhere. The worker ends with its
channel: it never outlives the service process.
"""

import time
from collections.abc import Mapping

import msgspec

from service.engine.channel import Channel
from service.engine.cost import decode_cost
from service.engine.encoder_outputs import EncoderOutputs
from service.engine.events import Failed, Started
from service.engine.scheduler import Scheduler, SourceIds, Waiting
from service.engine.types import (
    Cancel,
    Entering,
    SourceEncoded,
    StepReport,
    StepStats,
    Submit,
    ToWorker,
    Update,
    Work,
)

logger = logging.getLogger(__name__)

MAX_FAILED_STEPS = 3
"""In a row: after so many the process is taken to be broken."""


class StepsFailError(Exception):
    """Steps fail again and again: the worker is to be replaced."""


class RunningBatch(Protocol):
    """The rows of one checkpoint, as the worker uses them; `service.engine.batch` has the real one.

    An encoder output is opaque to the worker.
    """

    @property
    def num_rows(self) -> int: ...
    @property
    def num_free_rows(self) -> int: ...
    def encode(self, sources: Sequence[SourceIds]) -> tuple[list[object], int]:
        """The encoder output of each source, and the number of padding tokens that were encoded."""

    def to_bytes(self, encoder_output: object) -> bytes: ...
    def from_bytes(self, encoder_output: bytes, *, num_tokens: int) -> object:
        """Raises ValueError for another number of bytes than `num_tokens` have."""

    def add(self, decodes: Sequence[tuple[int, DecodeSpec, object]]) -> None:
        """Fill rows: decode id, spec and encoder output of each. Raises ValueError, and then nothing has changed."""

    def remove(self, decode_ids: Sequence[int]) -> None:
        """Free the rows of these decodes; unknown ids are ignored."""

    def step(self) -> list[Progress]:
        """One token for every row; decodes that finish, or end with a problem, leave their rows."""


@dataclass(slots=True)
class _Turn:
    """What one turn of one checkpoint brings."""

    started: list[Started] = field(default_factory=list)
    encoded: list[SourceEncoded] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    num_source_tokens: int = 0
    num_padding_tokens: int = 0


class CheckpointLoop:
    """The work of one checkpoint, waiting and running."""

    def __init__(
        self,
        batch: RunningBatch,
        scheduler: Scheduler,
        *,
        announce: Callable[[list[int]], None],
        clock: Callable[[], float],
    ) -> None:
        """`announce` is called with the ids of decodes before they get their rows."""
        self._batch = batch
        self._scheduler = scheduler
        self._announce = announce
        self._clock = clock
        self._work: dict[int, Work] = {}
        self._running: set[int] = set()
        self._outputs = EncoderOutputs()
        self._held_tokens: dict[int, list[Token]] = {}
        """Of running decodes that are not streamed."""
        self._num_failed_steps = 0

    @property
    def is_idle(self) -> bool:
        """Whether all work has ended. Raises RuntimeError if something was left behind nevertheless."""
        if self._work:
            return False
        left = self._batch.num_rows + self._scheduler.num_waiting + len(self._outputs) + len(self._held_tokens)
        if left or self._running:
            raise RuntimeError(
                f"idle with {self._batch.num_rows} rows in use, {self._scheduler.num_waiting} decodes waiting "
                f"and {len(self._outputs)} encoder outputs kept"
            )
        return True

    @property
    def num_running(self) -> int:
        return self._batch.num_rows

    @property
    def num_free_rows(self) -> int:
        return self._batch.num_free_rows

    def submit(self, work: Work, encoder_output: bytes | None) -> None:
        spec = work.spec
        self._work[work.decode_id] = work
        self._outputs.acquire(spec.source_ids)
        if encoder_output is not None and spec.source_ids not in self._outputs:
            self._take_output(spec.source_ids, encoder_output)
        self._scheduler.submit(
            Waiting(
                decode_id=work.decode_id,
                request_id=work.request_id,
                source_ids=spec.source_ids,
                num_rows=spec.beam_size,
                num_prefill_tokens=spec.beam_size * (len(spec.decoder_prompt) - 1),
                cost=decode_cost(spec),
                arrived_at=self._clock(),
                is_bulk=work.priority == "bulk",
            )
        )

    def _take_output(self, source_ids: SourceIds, encoder_output: bytes) -> None:
        try:
            output = self._batch.from_bytes(encoder_output, num_tokens=len(source_ids))
        except ValueError as error:  # then the source is encoded anew
            logger.warning("an encoder output from the cache cannot be used: %s", error)
        else:
            self._outputs.put(source_ids, output)

    def update(self, update: Update) -> None:
        """A request has joined that is more urgent or streams."""
        work = self._work.get(update.decode_id)
        if work is None:
            return
        self._work[update.decode_id] = msgspec.structs.replace(
            work, priority=update.priority, is_streamed=update.is_streamed
        )
        if update.priority == "interactive":
            self._scheduler.make_interactive(update.decode_id)

    def cancel(self, decode_ids: Sequence[int]) -> None:
        known = [each for each in decode_ids if each in self._work]
        self._scheduler.cancel(known)
        self._batch.remove([each for each in known if each in self._running])
        for decode_id in known:
            self._forget(decode_id)

    def turn(self) -> tuple[_Turn, StepStats]:
        """Admit, encode, decode one token, release."""
        turn = _Turn()
        began = self._clock()
        self._enter(turn, now=began)
        encoded = self._clock()
        num_rows = self._batch.num_rows
        if num_rows:
            self._step(turn)
        stats = StepStats(
            decode_seconds=self._clock() - encoded if num_rows else 0.0,
            encode_seconds=encoded - began if turn.num_source_tokens else 0.0,
            num_rows=num_rows,
            num_source_tokens=turn.num_source_tokens,
            num_padding_tokens=turn.num_padding_tokens,
        )
        return turn, stats

    def _enter(self, turn: _Turn, *, now: float) -> None:
        admitted = self._scheduler.admit(now=now, num_free_rows=self._batch.num_free_rows, encoded=self._outputs)
        if not admitted:
            return
        self._announce([waiting.decode_id for waiting in admitted])
        new_sources = {each.source_ids: each.decode_id for each in reversed(admitted) if not self._is_encoded(each)}
        try:
            self._encode(turn, list(new_sources))
            entering = [(each.decode_id, self._work[each.decode_id].spec) for each in admitted]
            self._batch.add([(decode_id, spec, self._outputs.get(spec.source_ids)) for decode_id, spec in entering])
        except Exception as error:
            logger.exception("admitting %d decodes failed", len(admitted))
            self._fail(turn, [waiting.decode_id for waiting in admitted], error)
            return
        self._running.update(waiting.decode_id for waiting in admitted)
        seconds = self._clock() - now
        encoders = set(new_sources.values())
        turn.started = [
            Started(
                waiting.decode_id,
                queue_seconds=now - waiting.arrived_at,
                encoded=waiting.decode_id in encoders,
                started_at=now,
                encode_seconds=seconds,
            )
            for waiting in admitted
        ]
        turn.encoded = [
            SourceEncoded(decode_id, self._batch.to_bytes(self._outputs.get(source_ids)))
            for source_ids, decode_id in new_sources.items()
            if self._work[decode_id].returns_encoder_output
        ]

    def _is_encoded(self, waiting: Waiting) -> bool:
        return waiting.source_ids in self._outputs

    def _encode(self, turn: _Turn, sources: list[SourceIds]) -> None:
        if not sources:
            return
        outputs, turn.num_padding_tokens = self._batch.encode(sources)
        for source_ids, output in zip(sources, outputs, strict=True):
            self._outputs.put(source_ids, output)
        turn.num_source_tokens = sum(map(len, sources))

    def _step(self, turn: _Turn) -> None:
        try:
            progress = self._batch.step()
        except Exception as error:
            logger.exception("a step over %d rows failed", self._batch.num_rows)
            self._num_failed_steps += 1
            if self._num_failed_steps == MAX_FAILED_STEPS:
                raise StepsFailError(f"{MAX_FAILED_STEPS} steps in a row failed") from error
            self._fail(turn, list(self._running), error)
            return
        self._num_failed_steps = 0
        for decode_id, tokens, hypotheses, problem in progress:
            if problem:
                logger.error("decode %d failed: %s", decode_id, problem)
                turn.failed.append(Failed(decode_id, problem))
                self._forget(decode_id)
                continue
            held = self._held_tokens.pop(decode_id, None)
            all_tokens = [*held, *tokens] if held else tokens
            if hypotheses:
                turn.progress.append(Progress(decode_id, all_tokens, hypotheses))
                self._forget(decode_id)
            elif all_tokens:
                if self._work[decode_id].is_streamed:
                    turn.progress.append(Progress(decode_id, all_tokens))
                elif held is not None:
                    held += tokens
                    self._held_tokens[decode_id] = held
                else:
                    self._held_tokens[decode_id] = list(tokens)

    def _fail(self, turn: _Turn, decode_ids: list[int], error: Exception) -> None:
        self._batch.remove(decode_ids)
        turn.failed += [Failed(each, f"the step failed: {type(error).__name__}") for each in decode_ids]
        for decode_id in decode_ids:
            self._forget(decode_id)

    def _forget(self, decode_id: int) -> None:
        work = self._work.pop(decode_id)
        self._running.discard(decode_id)
        self._held_tokens.pop(decode_id, None)
        self._outputs.release(work.spec.source_ids)


class Worker:
    """All checkpoints of a worker process: each has a batch of its own, and they take turns, a step each."""

    def __init__(self, loops: Mapping[str, CheckpointLoop]) -> None:
        """By the name of the checkpoint."""
        self._loops = loops

    @property
    def is_idle(self) -> bool:
        return all(loop.is_idle for loop in self._loops.values())

    def receive(self, message: ToWorker) -> None:
        match message:
            case Submit(work, encoder_outputs):
                for each in work:
                    self._loops[each.spec.checkpoint].submit(each, encoder_outputs.get(each.decode_id))
            case Update():
                for loop in self._loops.values():
                    loop.update(message)
            case Cancel(decode_ids):
                for loop in self._loops.values():
                    loop.cancel(decode_ids)

    def turn(self) -> StepReport:
        """One turn of every checkpoint that has something to do."""
        report = StepReport([], [], [], [], [], num_running=0, num_free_rows=0)
        for loop in self._loops.values():
            if loop.is_idle:
                continue
            turn, stats = loop.turn()
            report.started.extend(turn.started)
            report.encoded.extend(turn.encoded)
            report.progress.extend(turn.progress)
            report.failed.extend(turn.failed)
            report.steps.append(stats)
        return msgspec.structs.replace(
            report,
            num_running=sum(loop.num_running for loop in self._loops.values()),
            num_free_rows=sum(loop.num_free_rows for loop in self._loops.values()),
        )


def make_loop(
    batch: RunningBatch, channel: Channel, *, max_encode_tokens: int, max_bulk_wait_seconds: float
) -> CheckpointLoop:
    scheduler = Scheduler(max_admitted_tokens=max_encode_tokens, max_bulk_wait_seconds=max_bulk_wait_seconds)

    def announce(decode_ids: list[int]) -> None:
        channel.send(msgspec.msgpack.encode(Entering(decode_ids)))

    return CheckpointLoop(batch, scheduler, announce=announce, clock=time.monotonic)


def serve(channel: Channel, worker: Worker) -> None:
    """Take turns until the service process is gone."""
    decoder = msgspec.msgpack.Decoder(ToWorker)
    encoder = msgspec.msgpack.Encoder()
    while True:
        for payload in channel.receive(block=worker.is_idle):
            worker.receive(decoder.decode(payload))
        channel.send(encoder.encode(worker.turn()))
