"""Choose which waiting decodes get rows next.

Requests take turns by expected work: a decode's place in the queue is where its request's earlier decodes end (the
start tags of start-time fair queueing, Goyal, Vin and Cheng, SIGCOMM 1996), so that the wait grows with a request's own
size. `interactive` goes before `bulk`; once a turn, a bulk decode that has waited `max_bulk_wait_seconds` goes first.
A turn admits decodes that fit the free rows and the budget of tokens to encode and prefill, and always at least one.
Pure policy: plain values, and time is an argument.
"""

import heapq
from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace

SourceIds = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A decode without rows. `num_prefill_tokens` and `cost` are tokens over all its rows."""

    decode_id: int
    request_id: int
    source_ids: SourceIds
    num_rows: int
    num_prefill_tokens: int
    cost: int
    arrived_at: float
    is_bulk: bool = False


class TurnQueue:
    """Waiting decodes of one priority, in the order of their turns."""

    def __init__(self) -> None:
        self._waiting: dict[int, Waiting] = {}
        self._heap: list[tuple[int, int]] = []
        """A heap of start tags and decode ids; ids that are no longer waiting are skipped."""
        self._now = 0
        """The start tag of the last admitted decode."""
        self._next_tag: dict[int, int] = {}
        self._num_waiting: Counter[int] = Counter()
        """Both by request, while it has decodes waiting here."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, waiting: Waiting) -> None:
        request_id = waiting.request_id
        tag = max(self._now, self._next_tag.get(request_id, 0))
        self._next_tag[request_id] = tag + waiting.cost
        self._num_waiting[request_id] += 1
        self._waiting[waiting.decode_id] = waiting
        heapq.heappush(self._heap, (tag, waiting.decode_id))

    def first(self) -> Waiting | None:
        while self._heap and self._heap[0][1] not in self._waiting:
            heapq.heappop(self._heap)
        return self._waiting[self._heap[0][1]] if self._heap else None

    def admit_first(self) -> Waiting:
        """Remove and return the first; there must be one."""
        self._now, decode_id = heapq.heappop(self._heap)
        return self._forget(decode_id)

    def remove(self, decode_id: int) -> Waiting | None:
        """The entry in the heap is skipped when its turn comes, or dropped once most entries are stale."""
        if decode_id not in self._waiting:
            return None
        removed = self._forget(decode_id)
        if len(self._heap) > 2 * len(self._waiting) + 16:
            self._heap = [entry for entry in self._heap if entry[1] in self._waiting]
            heapq.heapify(self._heap)
        return removed

    def _forget(self, decode_id: int) -> Waiting:
        waiting = self._waiting.pop(decode_id)
        request_id = waiting.request_id
        self._num_waiting[request_id] -= 1
        if not self._num_waiting[request_id]:
            del self._num_waiting[request_id], self._next_tag[request_id]
        return waiting


class Scheduler:
    def __init__(self, *, max_admitted_tokens: int, max_bulk_wait_seconds: float) -> None:
        self._max_admitted_tokens = max_admitted_tokens
        self._max_bulk_wait_seconds = max_bulk_wait_seconds
        self._interactive = TurnQueue()
        self._bulk = TurnQueue()

    @property
    def num_waiting(self) -> int:
        return len(self._interactive) + len(self._bulk)

    def submit(self, waiting: Waiting) -> None:
        (self._bulk if waiting.is_bulk else self._interactive).add(waiting)

    def cancel(self, decode_ids: Iterable[int]) -> None:
        """Unknown ids are ignored."""
        for decode_id in decode_ids:
            if self._interactive.remove(decode_id) is None:
                self._bulk.remove(decode_id)

    def make_interactive(self, decode_id: int) -> None:
        """Does nothing if the decode has its rows already."""
        waiting = self._bulk.remove(decode_id)
        if waiting is not None:
            self._interactive.add(replace(waiting, is_bulk=False))

    def admit(self, *, now: float, num_free_rows: int, encoded: Container[SourceIds]) -> list[Waiting]:
        """The decodes that get rows in this turn. `encoded` holds the sources that need no encoding.

        A beam that does not fit the free rows waits, and so does everything behind it, so that it is not overtaken for
        ever.
        """
        admitted: list[Waiting] = []
        to_encode: set[SourceIds] = set()
        budget = self._max_admitted_tokens
        aged_may_pass = True
        while (choice := self._next(now, aged_may_pass=aged_may_pass)) is not None:
            queue, waiting = choice
            source_ids = waiting.source_ids
            is_new = source_ids not in encoded and source_ids not in to_encode
            num_tokens = waiting.num_prefill_tokens + (len(source_ids) if is_new else 0)
            if waiting.num_rows > num_free_rows or (num_tokens > budget and admitted):
                break
            budget -= num_tokens
            num_free_rows -= waiting.num_rows
            if is_new:
                to_encode.add(source_ids)
            aged_may_pass = aged_may_pass and queue is not self._bulk
            admitted.append(queue.admit_first())
        return admitted

    def _next(self, now: float, *, aged_may_pass: bool) -> tuple[TurnQueue, Waiting] | None:
        interactive, bulk = self._interactive.first(), self._bulk.first()
        has_aged = bulk is not None and now - bulk.arrived_at >= self._max_bulk_wait_seconds
        if bulk is not None and (interactive is None or (has_aged and aged_may_pass)):
            return self._bulk, bulk
        return None if interactive is None else (self._interactive, interactive)
