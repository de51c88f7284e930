"""One checkpoint in a worker: its waiting and running decodes, and a turn over them.

A failed step fails the decodes in it; the third in a row raises, and so does the first that leaves the device unusable.
Either ends the worker.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from model.search.results import Progress, Token
from service.engine.encoder_outputs import EncoderOutputs
from service.engine.events import Failed, Started
from service.engine.lanes import Lane, Lanes
from service.engine.scheduler import Scheduler
from service.engine.turns import SourceIds, Waiting
from service.engine.types import SourceEncoded, StepStats, Update, Work

logger = logging.getLogger(__name__)

MAX_FAILED_STEPS = 3
"""Consecutive failed steps after which the process is considered broken."""


class StepsFailError(Exception):
    """Several steps in a row failed: the worker must be replaced."""


class UnusableDeviceError(Exception):
    """The device cannot be used by this process any more: the worker must be replaced."""


@dataclass(slots=True)
class Turn:
    """The results of one turn of one checkpoint."""

    started: list[Started] = field(default_factory=list)
    encoded: list[SourceEncoded] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    num_steps: int = 0
    num_source_tokens: int = 0
    num_padding_tokens: int = 0


class CheckpointLoop:
    """The waiting and running work of one checkpoint."""

    def __init__(
        self,
        lanes: Lanes,
        scheduler: Scheduler,
        *,
        log_entries: Callable[[list[int]], None],
        clock: Callable[[], float],
    ) -> None:
        """`log_entries` is called with the ids of decodes before they get their rows."""
        self._lanes = lanes
        self._batch = lanes.main.batch
        self._scheduler = scheduler
        self._log_entries = log_entries
        self._clock = clock
        self._work: dict[int, Work] = {}
        self._running: set[int] = set()
        self._outputs = EncoderOutputs()
        self._held_tokens: dict[int, list[Token]] = {}
        """The tokens of running decodes that are not streamed."""
        self._num_failed_steps = 0

    @property
    def is_idle(self) -> bool:
        """Whether all work has ended. Raises RuntimeError if rows, decodes or outputs are left behind."""
        if self._work:
            return False
        left = self._lanes.num_rows + self._scheduler.num_waiting + len(self._outputs) + len(self._held_tokens)
        if left or self._running:
            raise RuntimeError(
                f"idle with {self._lanes.num_rows} rows in use, {self._scheduler.num_waiting} decodes waiting "
                f"and {len(self._outputs)} encoder outputs kept"
            )
        return True

    @property
    def num_running(self) -> int:
        return self._lanes.num_rows

    @property
    def num_free_rows(self) -> int:
        return self._batch.num_free_rows

    @property
    def num_waiting(self) -> int:
        return self._scheduler.num_waiting

    def submit(self, work: Work, encoder_output: bytes | None) -> None:
        spec = work.spec
        self._work[work.decode_id] = work
        self._outputs.acquire(spec.source_ids)
        if encoder_output is not None and spec.source_ids not in self._outputs:
            self._take_output(spec.source_ids, encoder_output)
        self._scheduler.submit(
            Waiting(
                decode_id=work.decode_id,
                client=work.client,
                request_id=work.request_id,
                source_ids=spec.source_ids,
                num_rows=spec.beam_size,
                num_prefill_tokens=spec.beam_size * (len(spec.decoder_prompt) - 1),
                cost=work.cost,
                arrived_at=self._clock(),
                is_bulk=work.priority == "bulk",
            )
        )

    def _take_output(self, source_ids: SourceIds, encoder_output: bytes) -> None:
        try:
            output = self._batch.from_bytes(encoder_output, num_tokens=len(source_ids))
        except ValueError as error:  # the source is encoded again
            logger.warning("an encoder output from the cache cannot be used: %s", error)
        else:
            self._outputs.put(source_ids, output)

    def update(self, update: Update) -> None:
        """Handle an equal request that joined and is more urgent or streams."""
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
        self._lanes.remove([each for each in known if each in self._running])
        for decode_id in known:
            self._forget(decode_id)

    def turn(self) -> tuple[Turn, StepStats]:
        """Admit, encode, decode in one of the lanes, release."""
        turn = Turn()
        began = self._clock()
        read_encoded = self._enter(turn, now=began)
        encoded = self._clock()
        lane = self._lanes.next()
        num_rows = lane.batch.num_rows
        if num_rows:
            self._step(turn, lane)
        turn.encoded = read_encoded()  # a copy from a device may take as long as the step
        decode_seconds = self._clock() - encoded
        self._lanes.took(lane, decode_seconds, num_rows=num_rows, num_steps=turn.num_steps)
        stats = StepStats(
            decode_seconds=decode_seconds if num_rows else 0.0,
            encode_seconds=encoded - began if turn.num_source_tokens else 0.0,
            num_rows=num_rows,
            num_steps=turn.num_steps,
            num_source_tokens=turn.num_source_tokens,
            num_padding_tokens=turn.num_padding_tokens,
        )
        return turn, stats

    def _enter(self, turn: Turn, *, now: float) -> Callable[[], list[SourceEncoded]]:
        """Admit decodes. Returns a function that waits for the encoder outputs to be reported."""
        entering = self._scheduler.admit(
            now=now,
            num_free_rows=self._lanes.num_free_main_rows,
            num_free_express_rows=self._lanes.num_free_express_rows,
            encoded=self._outputs,
        )
        if not entering:
            return list
        admitted = [each.decode for each in entering]
        self._log_entries([waiting.decode_id for waiting in admitted])
        new_sources = {each.source_ids: each.decode_id for each in reversed(admitted) if not self._is_encoded(each)}
        try:
            self._encode(turn, list(new_sources))
            specs = [(each.decode_id, self._work[each.decode_id].spec) for each in admitted]
            self._lanes.add(
                [(decode_id, spec, self._outputs.get(spec.source_ids)) for decode_id, spec in specs],
                express_ids={each.decode.decode_id for each in entering if each.is_express},
            )
        except UnusableDeviceError:
            raise
        except Exception as error:
            logger.exception("admitting %d decodes failed", len(admitted))
            self._fail(turn, [waiting.decode_id for waiting in admitted], error)
            return list
        self._running.update(waiting.decode_id for waiting in admitted)
        seconds = self._clock() - now
        self._lanes.encoded(seconds, is_express=entering[0].is_express)
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
        reported = {
            decode_id: self._outputs.get(source_ids)
            for source_ids, decode_id in new_sources.items()
            if self._work[decode_id].returns_encoder_output
        }
        if not reported:
            return list
        fetched = self._batch.fetch(list(reported.values()))
        return lambda: [SourceEncoded(*encoded) for encoded in zip(reported, fetched(), strict=True)]

    def _is_encoded(self, waiting: Waiting) -> bool:
        return waiting.source_ids in self._outputs

    def _encode(self, turn: Turn, sources: list[SourceIds]) -> None:
        if not sources:
            return
        outputs, turn.num_padding_tokens = self._batch.encode(sources)
        for source_ids, output in zip(sources, outputs, strict=True):
            self._outputs.put(source_ids, output)
        turn.num_source_tokens = sum(map(len, sources))

    def _step(self, turn: Turn, lane: Lane) -> None:
        try:
            progress = lane.batch.step(max_tokens=self._num_tokens_ahead(lane))
        except UnusableDeviceError:
            raise
        except Exception as error:
            logger.exception("a step over %d rows failed", lane.batch.num_rows)
            self._num_failed_steps += 1
            if self._num_failed_steps == MAX_FAILED_STEPS:
                raise StepsFailError(f"{MAX_FAILED_STEPS} steps in a row failed") from error
            self._fail(turn, list(self._running), error)
            return
        self._num_failed_steps = 0
        single = (len(each.tokens) for each in progress if self._work[each.decode_id].spec.beam_size == 1)
        turn.num_steps = max(single, default=1 if progress else 0)  # a decode of one row gets one token a step
        for decode_id, tokens, hypotheses, problem in progress:
            if problem:
                logger.error("decode %d failed: %s", decode_id, problem)
                turn.failed.append(Failed(decode_id, problem))
                self._forget(decode_id)
                continue
            held = self._held_tokens.pop(decode_id, [])
            held += tokens
            if hypotheses:
                turn.progress.append(Progress(decode_id, held, hypotheses))
                self._forget(decode_id)
            elif held and self._work[decode_id].is_streamed:
                turn.progress.append(Progress(decode_id, held))
            elif held:
                self._held_tokens[decode_id] = held

    def _num_tokens_ahead(self, lane: Lane) -> int:
        """The number of tokens that fit a turn.

        In the main lane 1 if a decode waits for a row, which the next token may free, or for its turn.
        """
        if lane is self._lanes.main and (self._scheduler.num_waiting or not self._lanes.is_alone(lane)):
            return 1
        return lane.num_tokens_ahead

    def _fail(self, turn: Turn, decode_ids: list[int], error: Exception) -> None:
        self._lanes.remove(decode_ids)
        turn.failed += [Failed(each, f"the step failed: {type(error).__name__}") for each in decode_ids]
        for decode_id in decode_ids:
            self._forget(decode_id)

    def _forget(self, decode_id: int) -> None:
        work = self._work.pop(decode_id)
        self._running.discard(decode_id)
        self._scheduler.release(decode_id)
        self._held_tokens.pop(decode_id, None)
        self._outputs.release(work.spec.source_ids)
