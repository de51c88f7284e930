"""The statistics that locust writes every second of a load test."""

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

AGGREGATED = "Aggregated"


@dataclass(frozen=True, slots=True)
class Moment:
    """One entry at one time. Counts are totals; percentiles, in milliseconds, cover the last 10 s; NaN if unknown."""

    seconds: float
    num_users: int
    num_requests: int
    num_failures: int
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Rate:
    seconds: float
    requests: float
    failures: float


def read_history(path: Path) -> dict[str, list[Moment]]:
    """The moments of every entry, by name."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    history: dict[str, list[Moment]] = {}
    for row in rows:
        moment = Moment(
            seconds=float(row["Timestamp"]) - float(rows[0]["Timestamp"]),
            num_users=int(row["User Count"]),
            num_requests=int(row["Total Request Count"]),
            num_failures=int(row["Total Failure Count"]),
            p50=_milliseconds(row, "50%"),
            p95=_milliseconds(row, "95%"),
        )
        history.setdefault(row["Name"], []).append(moment)
    return history


def rates(moments: Iterable[Moment]) -> list[Rate]:
    """The rates between successive moments."""
    return [
        Rate(
            after.seconds,
            (after.num_requests - before.num_requests) / (after.seconds - before.seconds),
            (after.num_failures - before.num_failures) / (after.seconds - before.seconds),
        )
        for before, after in pairwise(moments)
        if after.seconds > before.seconds
    ]


def _milliseconds(row: Mapping[str, str], column: str) -> float:
    """NaN for an entry without requests (N/A), or without any in the last 10 s (0)."""
    return math.nan if row[column] == "N/A" else float(row[column]) or math.nan
