"""Laws of reading locust's statistics over time."""

import math
from pathlib import Path

from loadtests.locust.history import Rate, rates, read_history

TABLE = """\
Timestamp,User Count,Type,Name,50%,95%,Total Request Count,Total Failure Count
100,1,,Aggregated,N/A,N/A,0,0
101,2,POST,plain,0,0,4,1
101,2,,Aggregated,0,0,10,1
103,2,POST,plain,20,50,8,1
103,2,,Aggregated,30,90,16,5
"""


def test_each_entry_has_its_moments_since_the_first(tmp_path: Path):
    path = tmp_path / "history.csv"
    path.write_text(TABLE, encoding="utf-8")
    history = read_history(path)
    assert {name: [each.seconds for each in moments] for name, moments in history.items()} == {
        "Aggregated": [0.0, 1.0, 3.0],
        "plain": [1.0, 3.0],
    }
    last = history["plain"][-1]
    assert (last.num_users, last.p50, last.p95) == (2, 20.0, 50.0)
    assert all(math.isnan(each.p50) for each in history["Aggregated"][:2]), "nothing in the last 10 s"


def test_rates_are_what_came_between_two_moments(tmp_path: Path):
    path = tmp_path / "history.csv"
    path.write_text(TABLE, encoding="utf-8")
    moments = read_history(path)["Aggregated"]
    assert rates(moments) == [Rate(1.0, requests=10.0, failures=1.0), Rate(3.0, requests=3.0, failures=2.0)]
    assert rates(moments[:1]) == rates([moments[0], moments[0]]) == []
