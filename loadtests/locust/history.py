"""What locust wrote down each second of a load test."""

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

AGGREGATED = "Aggregated"


@dataclass(frozen=True, slots=True)
class Moment:
    """Of one entry. Counts are since the beginning; percentiles, in milliseconds, of the last 10 s; NaN if unknown."""

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
    """By the names of the entries."""
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
    """Between each moment and the one before."""
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
    """NaN for the N/A of an entry without requests, and for the 0 of one whose last 10 s have none."""
    return math.nan if row[column] == "N/A" else float(row[column]) or math.nan
