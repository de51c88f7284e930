"""Who decodes next, and who is done.

Waiting sequences enter in the order of their arrival, `interactive` before `bulk`; one bulk sequence a step that has
waited `max_bulk_wait_seconds` goes before them, so that neither kind starves the other. A step admits as many as there
are free slots, but no more source tokens to encode than `max_encode_tokens` (one sequence always passes), so that
running rows keep their pace. A row leaves at the step that chooses its end-of-sequence token or its last allowed token,
or closes a loop.
Pure policy: plain ints, and time is an argument.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from weakref import WeakValueDictionary

from service.engine.slots import Move, Slots
from service.engine.types import FinishReason, Sequence, SequenceFailed, TokenEvent

MAX_LOOP_NGRAM = 8
MIN_LOOP_REPEATS = 4
MIN_LOOP_TOKENS = 16


@dataclass(slots=True, eq=False, weakref_slot=True)
class Source:
    """A source that rows share, and that goes with the last of them. `encoded` is the runner's and opaque here."""

    ids: tuple[int, ...]
    encoded: object | None = None


@dataclass(slots=True, eq=False)
class Row:
    """One sequence on its way: waiting while `slot` is None, running in that slot of the caches otherwise."""

    sequence: Sequence
    source: Source
    arrived_at: float
    slot: int | None = None
    generated: list[int] = field(default_factory=list)


def is_looping(token_ids: list[int]) -> bool:
    """Whether the tokens end in an n-gram (n <= 8) said at least 4 times over, and over at least 16 tokens."""
    for n in range(1, MAX_LOOP_NGRAM + 1):
        span = max(MIN_LOOP_REPEATS * n, MIN_LOOP_TOKENS)
        if len(token_ids) < span:
            return False
        if token_ids[-1] == token_ids[-1 - n] and token_ids[-span:-n] == token_ids[n - span :]:
            return True
    return False


class Scheduler:
    def __init__(
        self,
        *,
        max_rows: int,
        max_encode_tokens: int,
        max_bulk_wait_seconds: float,
        eos_token_id: int,
        forces_eos: bool,
    ) -> None:
        self._slots: Slots[Row] = Slots(max_rows)
        self._max_encode_tokens = max_encode_tokens
        self._max_bulk_wait_seconds = max_bulk_wait_seconds
        self._eos_token_id = eos_token_id
        self._forces_eos = forces_eos
        self._interactive: OrderedDict[int, Row] = OrderedDict()
        self._bulk: OrderedDict[int, Row] = OrderedDict()
        self._open: set[int] = set()
        self._sources: WeakValueDictionary[tuple[int, ...], Source] = WeakValueDictionary()

    @property
    def running(self) -> list[Row]:
        """The running rows; row i is in slot i."""
        return self._slots.rows

    @property
    def num_waiting(self) -> int:
        return len(self._interactive) + len(self._bulk)

    @property
    def num_free_slots(self) -> int:
        return self._slots.num_free

    @property
    def is_idle(self) -> bool:
        """Whether every submitted sequence has ended."""
        return not self._open

    def check_idle(self) -> None:
        """Raise RuntimeError unless idle means, as it must, that all slots are free and nobody waits."""
        if self.running or self.num_waiting:
            raise RuntimeError(f"idle with {len(self.running)} slots taken and {self.num_waiting} waiting")

    def submit(self, sequence: Sequence, *, now: float) -> None:
        """Queue a sequence; equal sources in flight share one `Source`, so that they are encoded once."""
        source = self._sources.setdefault(sequence.source_ids, Source(sequence.source_ids))
        queue = self._bulk if sequence.priority == "bulk" else self._interactive
        queue[sequence.sequence_id] = Row(sequence, source, arrived_at=now)
        self._open.add(sequence.sequence_id)

    def cancel(self, sequence_ids: Iterable[int]) -> list[Move]:
        """Forget these, waiting or running; ids that are not here ended already. Returns the moves that closed gaps."""
        cancelled = set(sequence_ids)
        for sequence_id in cancelled:
            self._interactive.pop(sequence_id, None)
            self._bulk.pop(sequence_id, None)
        self._open -= cancelled
        return self._slots.release([row for row in self.running if row.sequence.sequence_id in cancelled])

    def admit(self, *, now: float) -> list[Row]:
        """Move waiting rows into free slots, within the token budget of one step.

        They take their slots by source length, so that rows to encode in one batch lie side by side.
        """
        admitted: list[Row] = []
        to_encode: set[Source] = set()
        budget = self._max_encode_tokens
        aged_may_pass = True
        while self.num_waiting and len(admitted) < self._slots.num_free:
            takes_bulk = not self._interactive or (aged_may_pass and self._has_aged(now))
            queue = self._bulk if takes_bulk else self._interactive
            row = next(iter(queue.values()))
            is_new = row.source.encoded is None and row.source not in to_encode
            num_tokens = len(row.source.ids) if is_new else 0
            if num_tokens > budget and to_encode:
                break
            budget -= num_tokens
            if is_new:
                to_encode.add(row.source)
            queue.popitem(last=False)
            admitted.append(row)
            aged_may_pass = aged_may_pass and not takes_bulk
        admitted.sort(key=lambda row: len(row.source.ids))
        for row in admitted:
            self._slots.take(row)
        return admitted

    def advance(self, choices: list[tuple[int, float]]) -> tuple[list[TokenEvent], list[Move]]:
        """Record the (token id, log-probability) chosen for each running row; rows that end leave at once."""
        events: list[TokenEvent] = []
        finished: list[Row] = []
        for row, (token_id, logprob) in zip(self.running, choices, strict=True):
            row.generated.append(token_id)
            reason = self._finish_reason(row, token_id)
            events.append(TokenEvent(row.sequence.sequence_id, token_id, logprob, reason))
            if reason is not None:
                finished.append(row)
        return events, self._release(finished)

    def fail(self, rows: Iterable[Row], *, detail: str) -> tuple[list[SequenceFailed], list[Move]]:
        """End these running rows without a result."""
        failed = list(rows)
        events = [SequenceFailed(row.sequence.sequence_id, detail) for row in failed]
        return events, self._release(failed)

    def _release(self, ended: list[Row]) -> list[Move]:
        self._open.difference_update(row.sequence.sequence_id for row in ended)
        return self._slots.release(ended)

    def _has_aged(self, now: float) -> bool:
        """Whether the oldest bulk row has waited long enough."""
        return any(now - row.arrived_at >= self._max_bulk_wait_seconds for row in islice(self._bulk.values(), 1))

    def _finish_reason(self, row: Row, token_id: int) -> FinishReason | None:
        is_last_allowed = len(row.generated) >= row.sequence.max_new_tokens
        # A forced end-of-sequence token is the limit's doing, not the model's.
        if token_id == self._eos_token_id and not (is_last_allowed and self._forces_eos):
            return "stop"
        if is_last_allowed:
            return "length"
        if row.sequence.repetition_guard and is_looping(row.generated):
            return "repetition"
        return None
