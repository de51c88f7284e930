"""The duration of the tests by file."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Protocol

NUM_SLOWEST = 10


class Report(Protocol):
    """One phase of a test, as pytest reports it."""

    @property
    def nodeid(self) -> str: ...
    @property
    def duration(self) -> float: ...


def describe_slowest(reports: Iterable[Report]) -> str:
    """The files that took longest, with their setup and teardown."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for report in reports:
        seconds[report.nodeid.partition("::")[0]] += report.duration
    slowest = sorted(seconds.items(), key=lambda item: -item[1])[:NUM_SLOWEST]
    return "\n".join(
        [f"slowest of {len(seconds)} test files:", *(f"{total:8.1f} s  {file}" for file, total in slowest)]
    )
