"""All decodes in flight, their subscribers, and their expected work. Bookkeeping only: it sends nothing.

Uses are counted explicitly: a source by its open decodes, a decode by its subscribers.
"""

from collections.abc import Iterator
from itertools import count

from model.search.spec import DecodeSpec
from service.engine.backlog import Backlog
from service.engine.decode import Decode, PreparedDecode, SourceInFlight, SourceKey
from service.engine.owner import Owner
from service.engine.subscription import Subscription


class InFlight:
    def __init__(self) -> None:
        self._ids = count(1)
        self._open: dict[int, Decode] = {}
        """Decodes that are not over, by id, oldest first."""
        self._joinable: dict[DecodeSpec, Decode] = {}
        """Decodes that have subscribers and have not failed, by spec; they may be over."""
        self._decodes_of: dict[Subscription, list[Decode]] = {}
        self._sources: dict[SourceKey, SourceInFlight] = {}
        self.backlog = Backlog()
        self.num_waiting = 0
        self.queue_tokens = 0
        """The expected work of decodes that wait for rows."""

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Decode]:
        return iter(list(self._open.values()))

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in flight and nothing was left behind."""
        left = self._open or self._joinable or self._decodes_of or self._sources
        return not (left or self.num_waiting or self.queue_tokens or self.backlog.num_tokens)

    def find(self, decode_id: int) -> Decode | None:
        """An open decode; None if it has ended or was cancelled."""
        return self._open.get(decode_id)

    def find_equal(self, spec: DecodeSpec) -> Decode | None:
        """A decode that another request may join."""
        return self._joinable.get(spec)

    def subscriptions(self) -> list[Subscription]:
        return list(self._decodes_of)

    def open(self, prepared: PreparedDecode, owner: Owner, *, cost: int, is_streamed: bool) -> Decode:
        spec = prepared.spec
        source = self._sources.setdefault((spec.checkpoint, spec.source_ids), SourceInFlight())
        source.num_uses += 1
        decode = Decode(next(self._ids), owner, cost, prepared, source, is_streamed)
        self._open[decode.decode_id] = decode
        self._joinable[spec] = decode
        self.backlog.add(owner, cost)
        self._count_waiting(decode, +1)
        return decode

    def register(self, subscription: Subscription) -> None:
        self._decodes_of.setdefault(subscription, [])

    def subscribe(self, subscription: Subscription, decode: Decode) -> None:
        """Deliver all events of the decode, past and future."""
        key = subscription.expect()
        decode.subscribers[subscription] = key
        self._decodes_of[subscription].append(decode)
        for event in decode.so_far():
            subscription.push(key, event)

    def unsubscribe(self, subscription: Subscription) -> list[Decode]:
        """End a subscription. Returns its decodes; the ones without subscribers can no longer be joined."""
        decodes = self._decodes_of.pop(subscription, [])
        for decode in decodes:
            del decode.subscribers[subscription]
            if not decode.subscribers:
                self.withhold(decode)
        return decodes

    def withhold(self, decode: Decode) -> None:
        """Keep requests from joining this decode."""
        if self._joinable.get(decode.spec) is decode:
            del self._joinable[decode.spec]

    def close(self, decode: Decode) -> None:
        """Remove a decode that is over or cancelled, so that no worker works on it any more."""
        del self._open[decode.decode_id]
        decode.is_over = True
        decode.encoder_output = None
        self.backlog.remove(decode.owner, decode.cost)
        self.stop_waiting(decode)
        decode.source.num_uses -= 1
        if not decode.source.num_uses:
            del self._sources[decode.source_key]

    def stop_waiting(self, decode: Decode) -> None:
        """A decode got its rows or is over."""
        if decode.is_waiting:
            decode.is_waiting = False
            self._count_waiting(decode, -1)

    def wait_again(self, decode: Decode) -> None:
        """A decode waits for rows again, because its worker is gone."""
        if not decode.is_waiting:
            decode.is_waiting = True
            self._count_waiting(decode, +1)

    def make_interactive(self, decode: Decode) -> None:
        self.backlog.remove(decode.owner, decode.cost)
        decode.owner = decode.owner._replace(priority="interactive")
        self.backlog.add(decode.owner, decode.cost)

    def _count_waiting(self, decode: Decode, sign: int) -> None:
        self.num_waiting += sign
        self.queue_tokens += sign * decode.cost
