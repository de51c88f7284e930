"""The order of requests that keeps equal ones from being in flight together: a server would decode them once."""

from collections import Counter, deque
from collections.abc import Iterable


class Turns:
    """Requests in their order, except that a request waits until an equal one is answered."""

    def __init__(self, requests: Iterable[bytes], *, repeat: bool) -> None:
        """`repeat`: start again from the first request, without end."""
        self._left = deque(requests)
        self._repeat = repeat
        self._in_flight: Counter[bytes] = Counter()

    def __len__(self) -> int:
        """The number of requests left to send."""
        return len(self._left)

    def take(self) -> bytes:
        """The next request. If all that are left equal one in flight, the first of them, so that the load goes on."""
        place = next((place for place, each in enumerate(self._left) if not self._in_flight[each]), 0)
        request = self._left[place]
        del self._left[place]
        self._in_flight[request] += 1
        if self._repeat:
            self._left.append(request)
        return request

    def answered(self, request: bytes) -> None:
        self._in_flight[request] -= 1
