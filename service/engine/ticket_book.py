"""All tickets: which are open, which may be joined, who listens to which, and how much waits."""

from collections.abc import Iterator
from weakref import WeakValueDictionary

from service.engine.ticket import Listener, SourceId, SourceInFlight, Ticket, source_id
from service.engine.types import Sequence


class TicketBook:
    def __init__(self) -> None:
        self._open: dict[int, Ticket] = {}
        """What is not over, by the id that the workers know."""
        self._heard: dict[int, Ticket] = {}
        """What somebody listens to, by the listener's own id."""
        self._joinable: dict[Sequence, Ticket] = {}
        """What somebody listens to; it may be over, but has not failed."""
        self._sources: WeakValueDictionary[SourceId, SourceInFlight] = WeakValueDictionary()
        self.num_waiting = 0
        self.queue_tokens = 0

    def __iter__(self) -> Iterator[Ticket]:
        """Those that are open, the oldest first."""
        return iter(list(self._open.values()))

    def __contains__(self, ticket: Ticket) -> bool:
        return ticket.sequence_id in self._open

    def find(self, sequence_id: int) -> Ticket | None:
        return self._open.get(sequence_id)

    def find_equal(self, sequence: Sequence) -> Ticket | None:
        """One that an equal sequence may join."""
        return self._joinable.get(sequence)

    def open(self, sequence: Sequence, *, is_warm_up: bool = False) -> Ticket:
        """Nobody joins a warm-up's ticket: each worker has to do its own."""
        source = self._sources.setdefault(source_id(sequence), SourceInFlight())
        ticket = self._open[sequence.sequence_id] = Ticket(sequence, source, is_warm_up=is_warm_up)
        if not is_warm_up:
            self._joinable[sequence] = ticket
        self._count(ticket, +1)
        return ticket

    def listen(self, ticket: Ticket, listener: Listener) -> None:
        listener.stream.expect(listener.sequence_id)
        self._heard[listener.sequence_id] = ticket
        ticket.listeners.append(listener)

    def leave(self, sequence_id: int) -> Ticket | None:
        """The ticket that nobody listens to under this id any more; None where nobody did."""
        ticket = self._heard.pop(sequence_id, None)
        if ticket is not None:
            ticket.listeners = [each for each in ticket.listeners if each.sequence_id != sequence_id]
            if not ticket.listeners:
                self.withhold(ticket)
        return ticket

    def withhold(self, ticket: Ticket) -> None:
        """Let nobody join it any more."""
        if self._joinable.get(ticket.sequence) is ticket:
            del self._joinable[ticket.sequence]

    def close(self, ticket: Ticket) -> None:
        """No worker has anything to do for it any more."""
        del self._open[ticket.sequence_id]
        ticket.encoder_output = None
        self.stop_waiting(ticket)

    def wait_again(self, ticket: Ticket) -> None:
        if not ticket.is_waiting:
            ticket.is_waiting = True
            self._count(ticket, +1)

    def stop_waiting(self, ticket: Ticket) -> None:
        if ticket.is_waiting:
            ticket.is_waiting = False
            self._count(ticket, -1)

    def _count(self, ticket: Ticket, sign: int) -> None:
        self.queue_tokens += sign * ticket.num_source_tokens
        self.num_waiting += sign
