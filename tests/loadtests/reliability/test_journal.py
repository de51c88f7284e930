"""The accounts of clients, the log and the metrics agree only if each request has exactly one possible outcome."""

from collections.abc import Sequence

import pytest

from loadtests.bench.metrics_page import MetricsPage
from loadtests.reliability.journal import Journal, LoggedRequest

OK = LoggedRequest("a-1", "/v1/translations", "ok")
CANCELLED = LoggedRequest("a-2", "/v1/translations", "cancelled")


def metrics(num_ok: int, num_cancelled: int) -> MetricsPage:
    lines = [
        f'kakehashi_requests_total{{endpoint="/v1/translations",outcome="{outcome}"}} {count}\n'
        for outcome, count in (("ok", num_ok), ("cancelled", num_cancelled))
    ]
    return MetricsPage.of(f"# TYPE kakehashi_requests counter\n{''.join(lines)}")


def journal() -> Journal:
    kept = Journal("a")
    kept.saw("a-1", "ok")
    kept.saw("a-2", "ok", "cancelled")
    kept.saw("a-3", "cancelled", "unseen")
    return kept


def test_accounts_that_agree() -> None:
    assert journal().is_complete([OK, CANCELLED])
    assert journal().disagreements([OK, CANCELLED], metrics(1, 1)) == []


@pytest.mark.parametrize(
    ("logged", "counts"),
    [
        ([CANCELLED], (0, 1)),
        ([OK, OK, CANCELLED], (2, 1)),
        ([OK, CANCELLED], (2, 1)),
        ([LoggedRequest("a-1", "/v1/translations", "cancelled"), CANCELLED], (0, 2)),
        ([OK, CANCELLED, LoggedRequest("b-1", "/v1/explain", "ok")], (2, 1)),
    ],
    ids=["missing", "twice", "counted-differently", "another-outcome", "nobody's"],
)
def test_accounts_that_disagree(logged: Sequence[LoggedRequest], counts: tuple[int, int]) -> None:
    assert len(journal().disagreements(logged, metrics(*counts))) == 1
