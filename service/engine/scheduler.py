"""Who decodes next, and who is done.

Waiting sequences enter in the order of their arrival, `interactive` before `bulk`; one bulk sequence a step that has
waited `max_bulk_wait_seconds` goes before them, so that neither kind starves the other. A step admits as many as there
are free slots, but no more source tokens to encode than `max_encode_tokens` (one sequence always passes), so that
running rows keep their pace. A sequence leaves at the step that finishes it.
Pure policy: plain ints, and time is an argument.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from weakref import WeakValueDictionary

from model.search.types import Progress, Token
from service.engine.slots import Move, Slots
from service.engine.types import Sequence, SequenceFailed, SequenceProgress


@dataclass(slots=True, eq=False, weakref_slot=True)
class Source:
    """A source that rows share, and that goes with the last of them. `encoded` is the runner's and opaque here."""

    ids: tuple[int, ...]
    encoded: object | None = None


@dataclass(slots=True, eq=False)
class Entry:
    """One sequence on its way: waiting without rows, or running with one row, or as many as its beam has."""

    sequence: Sequence
    source: Source
    arrived_at: float
    rows: list["Row"] = field(default_factory=list)
    held_tokens: list[Token] = field(default_factory=list)
    """Of a sequence that is not streamed: told with its end."""

    @property
    def num_rows(self) -> int:
        return self.sequence.request.beam_size


@dataclass(slots=True, eq=False)
class Row:
    """One slot's worth of a running sequence."""

    entry: Entry
    slot: int | None = None


class Scheduler:
    def __init__(
        self,
        *,
        max_rows: int,
        max_encode_tokens: int,
        max_bulk_wait_seconds: float,
    ) -> None:
        self._slots: Slots[Row] = Slots(max_rows)
        self._max_encode_tokens = max_encode_tokens
        self._max_bulk_wait_seconds = max_bulk_wait_seconds
        self._interactive: OrderedDict[int, Entry] = OrderedDict()
        self._bulk: OrderedDict[int, Entry] = OrderedDict()
        self._open: dict[int, Entry] = {}
        self._sources: WeakValueDictionary[tuple[int, ...], Source] = WeakValueDictionary()

    @property
    def running(self) -> list[Row]:
        """The running rows; row i is in slot i."""
        return self._slots.rows

    @property
    def running_entries(self) -> list[Entry]:
        return list(dict.fromkeys(row.entry for row in self.running))

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

    def submit(self, sequence: Sequence, *, now: float, encoder_output: object | None = None) -> None:
        """Queue a sequence; equal sources in flight share one `Source`, which is encoded once, or not at all."""
        source = self._sources.setdefault(sequence.source_ids, Source(sequence.source_ids))
        if source.encoded is None:
            source.encoded = encoder_output
        queue = self._bulk if sequence.priority == "bulk" else self._interactive
        entry = Entry(sequence, source, arrived_at=now)
        queue[sequence.sequence_id] = self._open[sequence.sequence_id] = entry

    def cancel(self, sequence_ids: Iterable[int]) -> list[Move]:
        """Forget these, waiting or running; ids that are not here ended already. Returns the moves that closed gaps."""
        cancelled = [self._open[each] for each in set(sequence_ids) if each in self._open]
        for entry in cancelled:
            self._interactive.pop(entry.sequence.sequence_id, None)
            self._bulk.pop(entry.sequence.sequence_id, None)
        return self._release(cancelled)

    def admit(self, *, now: float) -> list[Entry]:
        """Move waiting sequences into free slots, within the token budget of one step.

        They take their slots by source length, so that sources to encode in one batch lie side by side. A beam that
        does not fit waits for its slots, and those behind it with it, so that it is not passed for ever.
        """
        admitted: list[Entry] = []
        to_encode: set[Source] = set()
        budget = self._max_encode_tokens
        num_free = self._slots.num_free
        aged_may_pass = True
        while self.num_waiting:
            takes_bulk = not self._interactive or (aged_may_pass and self._has_aged(now))
            queue = self._bulk if takes_bulk else self._interactive
            entry = next(iter(queue.values()))
            is_new = entry.source.encoded is None and entry.source not in to_encode
            num_tokens = len(entry.source.ids) if is_new else 0
            if entry.num_rows > num_free or (num_tokens > budget and to_encode):
                break
            budget -= num_tokens
            num_free -= entry.num_rows
            if is_new:
                to_encode.add(entry.source)
            queue.popitem(last=False)
            admitted.append(entry)
            aged_may_pass = aged_may_pass and not takes_bulk
        admitted.sort(key=lambda entry: len(entry.source.ids))
        for entry in admitted:
            entry.rows = [Row(entry) for _ in range(entry.num_rows)]
            for row in entry.rows:
                self._slots.take(row)
        return admitted

    def advance(self, progress: list[Progress]) -> tuple[list[SequenceProgress], list[Move]]:
        """Tell what a step brought to those that are streamed or ended; the latter leave at once."""
        events: list[SequenceProgress] = []
        ended: list[Entry] = []
        for sequence_id, tokens, hypotheses in progress:
            entry = self._open[sequence_id]
            entry.held_tokens += tokens
            if hypotheses or (entry.held_tokens and entry.sequence.is_streamed):
                events.append(SequenceProgress(sequence_id, entry.held_tokens, hypotheses))
                entry.held_tokens = []
            if hypotheses:
                ended.append(entry)
        return events, self._release(ended)

    def fail(self, entries: Iterable[Entry], *, detail: str) -> tuple[list[SequenceFailed], list[Move]]:
        """End these running sequences without a result."""
        failed = list(entries)
        events = [SequenceFailed(entry.sequence.sequence_id, detail) for entry in failed]
        return events, self._release(failed)

    def _release(self, ended: list[Entry]) -> list[Move]:
        for entry in ended:
            del self._open[entry.sequence.sequence_id]
        moves = self._slots.release([row for entry in ended for row in entry.rows])
        for entry in ended:
            entry.rows = []  # a row names its entry: the cycle would keep the source alive until it is collected
        return moves

    def _has_aged(self, now: float) -> bool:
        """Whether the oldest bulk sequence has waited long enough."""
        return any(now - entry.arrived_at >= self._max_bulk_wait_seconds for entry in islice(self._bulk.values(), 1))
