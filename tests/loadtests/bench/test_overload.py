"""The figures of an overload, from answers that are given."""

import pytest

from loadtests.bench.lean_client import Exchange
from loadtests.bench.overload import Arrivals, Overload, overload_table


def answered(status: int, *, after: float, sent_at: float = 0.0, retry_after_seconds: int | None = None) -> Exchange:
    return Exchange(sent_at, status=status, ended_at=sent_at + after, retry_after_seconds=retry_after_seconds)


def arrivals(*answers: Exchange) -> Arrivals:
    return Arrivals(seconds=1.0, deadline_seconds=2.0, answers=list(answers))


def test_goodput_counts_answers_within_the_deadline_over_the_time_until_the_last_one():
    good, late = answered(200, after=1.0), answered(200, after=4.0)
    refused, expired = answered(429, after=0.1), answered(504, after=2.0)
    assert arrivals(good, good, late, refused, expired).goodput == pytest.approx(2 / 4)


def test_the_table_compares_an_overload_with_the_capacity():
    usual = arrivals(*[answered(200, after=1.0)] * 10)
    beyond = arrivals(*[answered(200, after=1.0)] * 9, answered(429, after=0.01, retry_after_seconds=1))
    rows = {row[0]: row[1:] for row in rows_of(overload_table(Overload(20.0, usual, beyond)))}
    assert rows["goodput, % of the capacity"] == ["50", "45"]
    assert rows["goodput, % of that at the capacity"] == ["100", "90"]
    assert rows["refused with 429, %"] == ["0", "10"]
    assert rows["refusals, p50 / p95 ms"] == ["–", "10 / 10"]
    assert rows["Retry-After within a factor of two"] == ["–", "100 %"]


@pytest.mark.parametrize(("retry_after_seconds", "is_right"), [(4, False), (5, True), (20, True), (21, False)])
def test_retry_after_is_compared_with_the_end_of_what_was_accepted_before(retry_after_seconds: int, is_right: bool):
    accepted = answered(200, after=10.5)
    refused = answered(429, sent_at=0.4, after=0.1, retry_after_seconds=retry_after_seconds)
    usual = arrivals(answered(200, after=1.0))
    table = overload_table(Overload(1.0, usual, arrivals(accepted, refused)))
    assert rows_of(table)[-1][-1] == ("100 %" if is_right else "0 %")


def rows_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
