"""Which worker gets a ticket, and with which encoder output.

What the encoder cache has goes along, to the ready worker with the least outstanding source tokens. A source that it
has not goes to the worker that is encoding it already, if there is one. The cache's shared tier is asked in one round
trip for all sources of a submit that need it, while those that do not are on their way.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from itertools import chain

from service.cache.encoder_cache import EncoderCache
from service.cache.values import OutputKey
from service.engine.supervisor import Worker
from service.engine.ticket import SourceInFlight, Ticket
from service.engine.ticket_book import TicketBook
from service.engine.types import Submit
from service.observability.tracing import current_trace

logger = logging.getLogger(__name__)


class Dispatcher:
    def __init__(
        self, workers: list[Worker], tickets: TicketBook, cache: EncoderCache, checkpoint_names: list[str]
    ) -> None:
        self._workers = workers
        self._tickets = tickets
        self._cache = cache
        self._checkpoint_names = checkpoint_names
        self._outstanding = dict.fromkeys(workers, 0)
        """Source tokens that each worker has to decode: kept up to date, since with many waiting a sum takes long."""
        self._look_ups: set[asyncio.Task[None]] = set()

    def place(self, tickets: list[Ticket]) -> None:
        """Send new tickets: at once, or when the shared cache has said what it has of their sources."""
        began = time.monotonic()
        num_wanted = num_found = 0
        decided: list[Ticket] = []
        to_ask: dict[OutputKey, list[Ticket]] = {}
        for source, group in _by_source(tickets).items():
            sequence = group[0].sequence
            name = self._checkpoint_names[sequence.checkpoint]
            key = self._cache.wanted(name, sequence.source_ids) if sequence.is_cacheable else None
            output = None if key is None else self._cache.find(key)
            num_wanted, num_found = num_wanted + (key is not None), num_found + (output is not None)
            for ticket in group:
                ticket.output_key, ticket.encoder_output = key, output
            is_unknown = output is None and source.worker is None
            if key is not None and is_unknown and self._cache.is_shared(key):
                to_ask.setdefault(key, []).extend(group)  # two checkpoints may be the same one
            else:
                decided += group
        if (trace := current_trace()) is not None and num_wanted:
            attributes = {"kakehashi.sources": num_wanted, "kakehashi.hits": num_found}
            trace.add_look_up("memory", began=began, attributes=attributes)
        self.assign(decided)
        if to_ask:
            look_up = asyncio.create_task(self._look_up(to_ask))
            self._look_ups.add(look_up)
            look_up.add_done_callback(self._look_ups.discard)

    def assign(self, tickets: Iterable[Ticket], *, worker: Worker | None = None) -> None:
        """Send tickets to `worker`, or where they belong; what no worker is ready for waits for `assign_waiting`."""
        ready = [worker] if worker else [each for each in self._workers if each.is_ready]
        groups = _by_source(tickets)
        if not groups or not ready:
            return
        batches: defaultdict[Worker, Submit] = defaultdict(lambda: Submit([], {}))
        for source, group in groups.items():
            output = group[0].encoder_output
            if output is not None or source.worker not in ready:
                source.worker = min(ready, key=self._outstanding.__getitem__)
            batch = batches[source.worker]
            if output is not None:
                batch.encoder_outputs[group[0].sequence_id] = output
            for ticket in group:
                ticket.worker = source.worker
                self._outstanding[source.worker] += ticket.num_source_tokens
                batch.sequences.append(ticket.sequence)
        for target, batch in batches.items():
            target.send(batch)

    def assign_waiting(self) -> None:
        """Send all that has no worker."""
        self.assign(ticket for ticket in self._tickets if ticket.worker is None)

    def keep(self, ticket: Ticket, encoder_output: bytes) -> None:
        """Take what a worker has encoded into this process's cache; it is for the shared one after the answer."""
        if ticket.output_key is not None:
            self._cache.keep(ticket.output_key, encoder_output)
            ticket.fresh_output = encoder_output if self._cache.is_shared(ticket.output_key) else None

    def share(self, ticket: Ticket) -> None:
        """Hand what was encoded to the shared cache, now that an answer is out."""
        if ticket.output_key is not None and ticket.fresh_output is not None:
            self._cache.share(ticket.output_key, ticket.fresh_output)
            ticket.fresh_output = None

    def release(self, ticket: Ticket) -> None:
        """Its worker has no more to do for it."""
        if ticket.worker is not None:
            self._outstanding[ticket.worker] -= ticket.num_source_tokens
            ticket.worker = None

    def on_lost(self, worker: Worker) -> list[Ticket]:
        """Take back what a worker had that has died."""
        lost = [ticket for ticket in self._tickets if ticket.worker is worker]
        for ticket in lost:
            self.release(ticket)
            ticket.source.worker = None
        return lost

    async def aclose(self) -> None:
        look_ups = list(self._look_ups)
        for look_up in look_ups:
            look_up.cancel()
        await asyncio.gather(*look_ups, return_exceptions=True)

    async def _look_up(self, to_ask: dict[OutputKey, list[Ticket]]) -> None:
        try:
            outputs = await self._cache.find_shared(list(to_ask))
        except Exception:  # whatever it is, the requests go on without it
            logger.exception("looking up encoder outputs failed")
            outputs = {}
        for key, group in to_ask.items():
            for ticket in group:
                ticket.encoder_output = outputs.get(key)
        # Some may have been cancelled meanwhile, or sent to a worker that became ready.
        tickets = chain.from_iterable(to_ask.values())
        self.assign(ticket for ticket in tickets if ticket.worker is None and ticket in self._tickets)


def _by_source(tickets: Iterable[Ticket]) -> dict[SourceInFlight, list[Ticket]]:
    groups: dict[SourceInFlight, list[Ticket]] = {}
    for ticket in tickets:
        groups.setdefault(ticket.source, []).append(ticket)
    return groups
