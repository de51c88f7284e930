"""Who has the rows, and who may go into the express lane. Pure bookkeeping.

Clients with few rows may while another client has many, since a step over many rows takes long. If a single client has
all rows, the same goes for its requests.
"""

from collections import Counter
from collections.abc import Hashable
from typing import TypeVar

from service.engine.turns import Waiting

Key = TypeVar("Key", bound=Hashable)
MANY = 2
"""Many rows are more than this multiple of the express rows; few are no more than those."""


class Occupancy:
    def __init__(self, *, num_express_rows: int) -> None:
        self._num_express_rows = num_express_rows
        self._by_client: Counter[str] = Counter()
        self._by_request: Counter[int] = Counter()

    def enter(self, decode: Waiting) -> None:
        self._by_client[decode.client] += decode.num_rows
        self._by_request[decode.request_id] += decode.num_rows

    def leave(self, decode: Waiting) -> None:
        _take(self._by_client, decode.client, decode.num_rows)
        _take(self._by_request, decode.request_id, decode.num_rows)

    def may_go_express(self, decode: Waiting) -> bool:
        others = self._by_client.keys() - {decode.client}
        own = self._by_client[decode.client] if others else self._by_request[decode.request_id]
        most = max((self._by_client if others else self._by_request).values(), default=0)
        return own + decode.num_rows <= self._num_express_rows and most > MANY * self._num_express_rows


def _take(counter: Counter[Key], key: Key, number: int) -> None:
    counter[key] -= number
    if not counter[key]:
        del counter[key]
