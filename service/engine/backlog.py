"""The expected work of all open decodes, by whose turn it will be: priority, client, request. Pure bookkeeping.

Work is in tokens to generate over all rows, as in `decode_cost`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

from service.engine.owner import Owner, Priority


class _Clients:
    """The work of one priority."""

    def __init__(self) -> None:
        self.num_tokens = 0
        self._by_client: Counter[str] = Counter()
        self._by_request: defaultdict[str, Counter[int]] = defaultdict(Counter)

    def add(self, owner: Owner, num_tokens: int) -> None:
        client, request_id, _ = owner
        requests = self._by_request[client]
        self.num_tokens += num_tokens
        self._by_client[client] += num_tokens
        requests[request_id] += num_tokens
        if not requests[request_id]:
            del requests[request_id]
        if not requests:
            del self._by_client[client], self._by_request[client]

    def ahead_of(self, client: str, num_tokens: int) -> int:
        """The work that is done before `num_tokens` of a new request, everyone taking turns."""
        requests = self._by_request.get(client, Counter())
        ahead = _at_most(num_tokens, requests.values())
        others = (work for other, work in self._by_client.items() if other != client)
        return ahead + _at_most(num_tokens + ahead, others)


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

    def ahead_of(self, client: str, priority: Priority, num_tokens: int) -> int:
        """The work that is done before a new request of `num_tokens` is.

        By the time that work is done, each of its client's other requests has had as much work done, or ended; and
        so has each other client, compared with this one. All interactive work precedes bulk.
        """
        ahead = self._of(priority).ahead_of(client, num_tokens)
        return ahead + self._interactive.num_tokens if priority == "bulk" else ahead

    def _of(self, priority: Priority) -> _Clients:
        return self._bulk if priority == "bulk" else self._interactive


def _at_most(limit: int, amounts: Iterable[int]) -> int:
    return sum(min(limit, amount) for amount in amounts)
