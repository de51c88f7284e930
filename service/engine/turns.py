"""Whose turn it is: waiting decodes in the order of start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996).

Clients take turns by expected work, and so do the requests of a client. A flow, which is a client or a request, starts
where its earlier work ends in virtual time, but never before the start of the flow that was served last. So while two
flows wait, the work that they had served differs by at most one decode of each, however many decodes either has sent.
Pure bookkeeping over plain values.
"""

import heapq
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

SourceIds = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A decode without rows. `client` is empty without API keys.

    `num_prefill_tokens` are the prompt's over all its rows, and `cost` the tokens that they are expected to generate.
    """

    decode_id: int
    client: str
    request_id: int
    source_ids: SourceIds
    num_rows: int
    num_prefill_tokens: int
    cost: int
    arrived_at: float
    is_bulk: bool = False


Flow = TypeVar("Flow", bound=Hashable)


@dataclass(slots=True)
class VirtualTime(Generic[Flow]):
    """Where the flows' work ends, if that is after `now`, the start of the work that was served last."""

    now: int = 0
    _ends: dict[Flow, int] = field(default_factory=dict)
    _num_kept: int = 0

    def start(self, flow: Flow) -> int:
        return max(self.now, self._ends.get(flow, 0))

    def charge(self, flow: Flow, *, start: int, cost: int) -> None:
        self._ends[flow] = start + cost
        if len(self._ends) > 2 * self._num_kept + 16:
            self._ends = {flow: end for flow, end in self._ends.items() if end > self.now}
            self._num_kept = len(self._ends)


class RequestTurns:
    """The waiting decodes of one client, in the order of their requests' turns."""

    def __init__(self) -> None:
        self._time = VirtualTime[int]()
        self._waiting: dict[int, Waiting] = {}
        self._heap: list[tuple[int, int]] = []
        """A heap of start tags and decode ids; ids that are no longer waiting are skipped."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, waiting: Waiting) -> None:
        start = self._time.start(waiting.request_id)
        self._time.charge(waiting.request_id, start=start, cost=waiting.cost)
        self._waiting[waiting.decode_id] = waiting
        heapq.heappush(self._heap, (start, waiting.decode_id))

    def first(self) -> Waiting:
        """There must be one."""
        while self._heap[0][1] not in self._waiting:
            heapq.heappop(self._heap)
        return self._waiting[self._heap[0][1]]

    def take_first(self) -> Waiting:
        waiting = self.first()
        self._time.now, _ = heapq.heappop(self._heap)
        del self._waiting[waiting.decode_id]
        return waiting

    def remove(self, decode_id: int) -> None:
        """The entry in the heap is skipped when its turn comes, or dropped once most entries are stale."""
        del self._waiting[decode_id]
        if len(self._heap) > 2 * len(self._waiting) + 16:
            self._heap = [entry for entry in self._heap if entry[1] in self._waiting]
            heapq.heapify(self._heap)


class ClientTurns:
    """Waiting decodes of one priority, in the order of their clients' turns."""

    def __init__(self) -> None:
        self._time = VirtualTime[str]()
        self._requests: dict[str, RequestTurns] = {}
        """The clients that have decodes waiting, longest first."""
        self._waiting: dict[int, Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, waiting: Waiting) -> None:
        self._waiting[waiting.decode_id] = waiting
        self._requests.setdefault(waiting.client, RequestTurns()).add(waiting)

    def first(self) -> Waiting | None:
        return self._requests[self._first_client()].first() if self._requests else None

    def take_first(self) -> Waiting:
        """Remove and return the first; there must be one."""
        client = self._first_client()
        start = self._time.start(client)
        waiting = self._requests[client].take_first()
        self._time.now = start
        self._time.charge(client, start=start, cost=waiting.cost)
        self._forget(waiting)
        return waiting

    def remove(self, decode_id: int) -> Waiting | None:
        """Remove and return a decode; None if it does not wait here."""
        waiting = self._waiting.get(decode_id)
        if waiting is not None:
            self._requests[waiting.client].remove(decode_id)
            self._forget(waiting)
        return waiting

    def _first_client(self) -> str:
        return min(self._requests, key=self._time.start)

    def _forget(self, waiting: Waiting) -> None:
        del self._waiting[waiting.decode_id]
        if not self._requests[waiting.client]:
            del self._requests[waiting.client]
        if not self._requests:
            self._time = VirtualTime()
