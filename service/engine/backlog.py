"""The expected work of all open decodes, by whose turn it will be: priority, client, request. Pure bookkeeping.

Work is in tokens to generate over all rows, as in `decode_cost`.
"""

from collections import Counter, defaultdict
from collections.abc import Set
from typing import Generic, TypeVar

from service.engine.owner import Owner, Priority

Holder = TypeVar("Holder", str, int)


class _Shares(Generic[Holder]):
    """Amounts of work by holder. Thousands of holders have few different amounts, so sums go over the amounts."""

    def __init__(self) -> None:
        self._amounts: Counter[Holder] = Counter()
        self._num_holders: Counter[int] = Counter()
        """By amount."""

    def __bool__(self) -> bool:
        return bool(self._amounts)

    def __getitem__(self, holder: Holder) -> int:
        return self._amounts[holder]

    @property
    def holders(self) -> Set[Holder]:
        return self._amounts.keys()

    def add(self, holder: Holder, num_tokens: int) -> None:
        before = self._amounts.pop(holder, 0)
        after = before + num_tokens
        for amount, change in ((before, -1), (after, +1)):
            if amount:
                self._num_holders[amount] += change
                if not self._num_holders[amount]:
                    del self._num_holders[amount]
        if after:
            self._amounts[holder] = after

    def at_most(self, limit: int) -> int:
        """The sum of all amounts, none counting for more than the limit."""
        return sum(min(limit, amount) * number for amount, number in self._num_holders.items())


class _Clients:
    """The work of one priority."""

    def __init__(self) -> None:
        self.num_tokens = 0
        self._by_client: _Shares[str] = _Shares()
        self._by_request: defaultdict[str, _Shares[int]] = defaultdict(_Shares)

    def add(self, owner: Owner, num_tokens: int) -> None:
        client, request_id, _ = owner
        requests = self._by_request[client]
        self.num_tokens += num_tokens
        self._by_client.add(client, num_tokens)
        requests.add(request_id, num_tokens)
        if not requests:
            del self._by_request[client]

    @property
    def clients(self) -> Set[str]:
        return self._by_client.holders

    def of(self, client: str) -> int:
        return self._by_client[client]

    def ahead_of(self, client: str, num_tokens: int) -> int:
        """The work that is done before `num_tokens` of a new request, everyone taking turns."""
        requests = self._by_request.get(client)
        ahead = 0 if requests is None else requests.at_most(num_tokens)
        limit = num_tokens + ahead
        return ahead + self._by_client.at_most(limit) - min(limit, self._by_client[client])


class Backlog:
    def __init__(self) -> None:
        self._interactive = _Clients()
        self._bulk = _Clients()

    @property
    def num_tokens(self) -> int:
        return self._interactive.num_tokens + self._bulk.num_tokens

    def add(self, owner: Owner, num_tokens: int) -> None:
        self._of(owner.priority).add(owner, num_tokens)

    def remove(self, owner: Owner, num_tokens: int) -> None:
        self._of(owner.priority).add(owner, -num_tokens)

    def of(self, client: str) -> int:
        """The work of one client."""
        return self._interactive.of(client) + self._bulk.of(client)

    def num_others(self, client: str) -> int:
        """The number of other clients that have work."""
        return len((self._interactive.clients | self._bulk.clients) - {client})

    def ahead_of(self, client: str, priority: Priority, num_tokens: int) -> int:
        """The work that is done before a new request of `num_tokens` is.

        By the time that work is done, each of its client's other requests has had as much work done, or ended; and
        so has each other client, compared with this one. All interactive work precedes bulk.
        """
        ahead = self._of(priority).ahead_of(client, num_tokens)
        return ahead + self._interactive.num_tokens if priority == "bulk" else ahead

    def _of(self, priority: Priority) -> _Clients:
        return self._bulk if priority == "bulk" else self._interactive
