"""Choose which waiting decodes get rows next.

Clients take turns by expected work, and so do the requests of a client (`service/engine/turns.py`), so that the wait
grows with a request's own size. `interactive` goes before `bulk`; once a turn, a bulk decode that has waited
`max_bulk_wait_seconds` goes first. While one client or request has most of the rows, decodes of others may get rows of
the express lane. A turn admits decodes of one lane that fit its free rows and the budget of tokens to encode and
prefill, and always at least one. The budget is small in the first turn of a backlog and doubles while decodes wait, so
that the first sentences of a long text have their first tokens before the last ones are encoded. Pure policy: plain
values, and time is an argument.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace

from service.engine.occupancy import Occupancy
from service.engine.turns import ClientTurns, SourceIds, Waiting

FIRST_BUDGET_TOKENS = 32
"""The budget of the first turn of a backlog: one or two sentences."""


@dataclass(frozen=True, slots=True)
class Admitted:
    decode: Waiting
    is_express: bool


class Scheduler:
    def __init__(self, *, max_admitted_tokens: int, max_bulk_wait_seconds: float, num_express_rows: int) -> None:
        self._max_admitted_tokens = max_admitted_tokens
        self._budget = FIRST_BUDGET_TOKENS
        self._max_bulk_wait_seconds = max_bulk_wait_seconds
        self._occupancy = Occupancy(num_express_rows=num_express_rows)
        self._running: dict[int, Waiting] = {}
        self._interactive = ClientTurns()
        self._bulk = ClientTurns()

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

    def release(self, decode_id: int) -> None:
        """A decode has left its rows. Does nothing if it never had any."""
        decode = self._running.pop(decode_id, None)
        if decode is not None:
            self._occupancy.leave(decode)

    def make_interactive(self, decode_id: int) -> None:
        """Does nothing if the decode has its rows already."""
        waiting = self._bulk.remove(decode_id)
        if waiting is not None:
            self._interactive.add(replace(waiting, is_bulk=False))

    def admit(
        self, *, now: float, num_free_rows: int, num_free_express_rows: int = 0, encoded: Container[SourceIds]
    ) -> list[Admitted]:
        """The decodes that get rows in this turn. `encoded` holds the sources that need no encoding.

        A beam that does not fit the free rows waits, and so does everything behind it, so that it is not overtaken for
        ever.
        """
        admitted: list[Admitted] = []
        to_encode: set[SourceIds] = set()
        budget = min(self._budget, self._max_admitted_tokens)
        aged_may_pass = True
        while (choice := self._next(now, aged_may_pass=aged_may_pass)) is not None:
            queue, waiting = choice
            source_ids = waiting.source_ids
            is_new = source_ids not in encoded and source_ids not in to_encode
            num_tokens = waiting.num_prefill_tokens + (len(source_ids) if is_new else 0)
            is_express = waiting.num_rows <= num_free_express_rows and self._occupancy.may_go_express(waiting)
            has_rows = is_express or waiting.num_rows <= num_free_rows
            if not has_rows or (admitted and (num_tokens > budget or is_express != admitted[0].is_express)):
                break
            budget -= num_tokens
            if is_express:
                num_free_express_rows -= waiting.num_rows
            else:
                num_free_rows -= waiting.num_rows
            if is_new:
                to_encode.add(source_ids)
            aged_may_pass = aged_may_pass and queue is not self._bulk
            admitted.append(Admitted(queue.take_first(), is_express))
            self._running[waiting.decode_id] = waiting
            self._occupancy.enter(waiting)
        if not self.num_waiting:
            self._budget = FIRST_BUDGET_TOKENS
        elif admitted and not admitted[0].is_express:
            self._budget = min(2 * self._budget, self._max_admitted_tokens)
        return admitted

    def _next(self, now: float, *, aged_may_pass: bool) -> tuple[ClientTurns, Waiting] | None:
        interactive, bulk = self._interactive.first(), self._bulk.first()
        has_aged = bulk is not None and now - bulk.arrived_at >= self._max_bulk_wait_seconds
        if bulk is not None and (interactive is None or (has_aged and aged_may_pass)):
            return self._bulk, bulk
        return None if interactive is None else (self._interactive, interactive)
