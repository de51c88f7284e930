"""What clients saw of their requests, and its comparison with the server's log and metrics.

A request is known by its X-Request-ID. A client that read its whole answer knows the outcome; one that went away knows
which outcomes are possible, and whether the server may have seen nothing of it at all.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from loadtests.bench.metrics_page import MetricsPage

OWN_ID = "own"
"""The X-Request-ID of requests that no client sends, but a trial itself."""
Outcome = Literal["ok", "refused", "cancelled", "timeout", "invalid", "error", "unseen"]
"""Those of `kakehashi_requests_total`, and `unseen` for a request that may have been lost on its way."""
OUTCOMES: tuple[Outcome, ...] = ("ok", "refused", "cancelled", "timeout", "invalid", "error")
ANY: tuple[Outcome, ...] = ("ok", "refused", "cancelled", "timeout", "error")
"""The possible outcomes of a good request whose client went away."""
PROBES = ("/health", "/health/live", "/health/ready", "/metrics")
OWN_ROUTES = frozenset({"/v1/models"})
"""Requested by the trials themselves, as are requests with OWN_ID."""


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    request_id: str
    route: str
    outcome: str


@dataclass(slots=True)
class Journal:
    """`faults` are descriptions of whatever should not have happened."""

    prefix: str
    possible: dict[str, tuple[Outcome, ...]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    num_ids: int = 0

    def new_id(self) -> str:
        self.num_ids += 1
        return f"{self.prefix}-{self.num_ids}"

    def saw(self, request_id: str, *outcomes: Outcome) -> None:
        """Record the only possible outcomes of a request."""
        self.possible[request_id] = outcomes

    def certain(self) -> Counter[str]:
        """The number of requests by outcome, of those whose client knows it."""
        return Counter(outcomes[0] for outcomes in self.possible.values() if len(outcomes) == 1)

    def is_complete(self, logged: Iterable[LoggedRequest]) -> bool:
        """Whether the log has every request that the server must have seen."""
        return {name for name, outcomes in self.possible.items() if "unseen" not in outcomes} <= {
            each.request_id for each in logged
        }

    def disagreements(self, logged: Iterable[LoggedRequest], metrics: MetricsPage) -> list[str]:
        """Requests without exactly one possible outcome in the log, and outcomes that metrics count differently."""
        logged = list(logged)
        lines: dict[str, list[str]] = {}
        for each in logged:
            lines.setdefault(each.request_id, []).append(each.outcome)
        found = [
            f"{request_id}: its client expects one of {possible}, the log has {outcomes or 'nothing'}"
            for request_id, possible in self.possible.items()
            if not _agree(outcomes := lines.get(request_id, []), possible)
        ]
        known = {*self.possible, OWN_ID}
        found += [
            f"{each.request_id}: logged for {each.route}, but no client sent it"
            for each in logged
            if each.request_id not in known and each.route not in OWN_ROUTES
        ]
        counted, in_log = count_outcomes(metrics), Counter(each.outcome for each in logged)
        found += [
            f"{outcome}: {in_log[outcome]} in the log, {counted[outcome]} in the metrics"
            for outcome in OUTCOMES
            if in_log[outcome] != counted[outcome]
        ]
        return found


def count_outcomes(metrics: MetricsPage) -> Counter[str]:
    """Requests by outcome, without those that only read the state of the server."""
    name = "kakehashi_requests_total"
    return Counter(
        {
            outcome: int(
                metrics.sum(name, outcome=outcome)
                - sum(metrics.sum(name, outcome=outcome, endpoint=probe) for probe in PROBES)
            )
            for outcome in OUTCOMES
        }
    )


def read_log(path: Path) -> Iterator[LoggedRequest]:
    """The requests in a log of JSON lines."""
    with path.open(encoding="utf-8") as log:
        for line in log:
            if '"message": "request"' in line:
                entry = json.loads(line)
                yield LoggedRequest(entry["request_id"], entry["route"], entry["outcome"])


def _agree(outcomes: list[str], possible: tuple[Outcome, ...]) -> bool:
    if not outcomes:
        return "unseen" in possible
    return len(outcomes) == 1 and outcomes[0] in possible
