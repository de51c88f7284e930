"""Time to the first token of a stream on an idle server: bypassing the cache, missing it, and hitting it.

A source is sent three times in a row, so that other load on the machine affects all three alike: bypassing the cache
(`Cache-Control: no-store`), for the first time, and again. The bypass is the first, second or last of these, in turns.
Before every request the server has finished the work of the previous one, including writes to Redis.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Self, get_args

import uvloop

from loadtests.bench.generator import REQUEST_SECONDS
from loadtests.bench.http_requests import TRANSLATE
from loadtests.bench.latency import percentile
from loadtests.bench.lean_client import LeanClient, http_request
from loadtests.bench.loopback import HOST
from loadtests.bench.metrics_page import MetricsPage
from loadtests.bench.running_server import BenchServer
from loadtests.bench.source_lines import SourceLine

Tier = Literal["memory", "redis"]
Mode = Literal["no cache", "miss", "hit"]

ORDERS: tuple[tuple[Mode, ...], ...] = (
    ("no cache", "miss", "hit"),
    ("miss", "no cache", "hit"),
    ("miss", "hit", "no cache"),
)
LOOK_UPS: Mapping[Mode, tuple[int, int]] = {"no cache": (0, 0), "miss": (0, 1), "hit": (1, 0)}
"""The hits and misses that a request of each mode causes."""
NUM_NEW_TOKENS = 4
WRITE_SECONDS = 10.0


@dataclass(slots=True)
class FirstTokens:
    """Sources of one length, on one checkpoint and one tier."""

    checkpoint: str
    tier: Tier
    num_tokens: int
    output_bytes: int
    """The size of one encoder output."""
    seconds: dict[Mode, list[float]] = field(default_factory=lambda: {mode: [] for mode in get_args(Mode)})
    num_sources: int = 0
    num_left_out: int = 0
    """Requests that the cache did not handle as intended, such as when Redis did not answer in time."""

    def median(self, mode: Mode) -> float:
        return percentile(self.seconds[mode], 50)

    def quartiles(self, mode: Mode) -> tuple[float, float]:
        return percentile(self.seconds[mode], 25), percentile(self.seconds[mode], 75)

    def ratio(self, mode: Mode, over: Mode) -> float:
        return self.median(mode) / self.median(over)


class FirstTokenTimer:
    """Needs a server without any other client."""

    def __init__(self, server: BenchServer, tier: Tier) -> None:
        self._server = server
        self._tier = tier
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._client = LeanClient(HOST, server.port, timeout_seconds=REQUEST_SECONDS)
        self._page = server.metrics()
        self._num_writes = _num_written(self._page)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._hang_up())
        self._runner.close()

    def measure(self, sentence: SourceLine, cell: FirstTokens) -> None:
        """Measure a source that has the cell's length and is new to the server."""
        for mode in ORDERS[cell.num_sources % len(ORDERS)]:
            seconds, is_as_it_should_be = self._ask(sentence, mode, num_tokens=cell.num_tokens)
            if is_as_it_should_be:
                cell.seconds[mode].append(seconds)
            else:
                cell.num_left_out += 1
        cell.num_sources += 1

    def _ask(self, sentence: SourceLine, mode: Mode, *, num_tokens: int) -> tuple[float, bool]:
        """The seconds, and whether the cache behaved as intended. Raises SystemExit for a failed request."""
        body = {**sentence.body(stream=True), "max_new_tokens": NUM_NEW_TOKENS}
        request = http_request(TRANSLATE, body, no_store=mode == "no cache")
        exchange = self._runner.run(self._client.ask(request, stream=True))
        if not exchange.is_ok or not exchange.token_times:
            raise SystemExit(f"a stream failed: status {exchange.status}, {exchange.failure or 'no token'}")
        usage = exchange.usage()
        if usage["source_tokens"] != num_tokens:
            raise SystemExit(f"a source of {num_tokens} tokens was served as one of {usage['source_tokens']}")
        if self._tier == "redis" and mode != "no cache":
            self._num_writes += usage["encoder_cache_misses"]
        look_ups = self._settle()
        return exchange.token_times[0] - exchange.sent_at, look_ups == LOOK_UPS[mode]

    def _settle(self) -> tuple[int, int]:
        """Wait until all writes are done. Returns the hits and misses of this tier since the last call."""
        before, self._page = self._page, self._server.metrics()
        deadline = time.monotonic() + WRITE_SECONDS
        while _num_written(self._page) < self._num_writes:
            if time.monotonic() > deadline:
                raise SystemExit(f"Redis did not take an encoder output within {WRITE_SECONDS:g} s")
            self._page = self._server.metrics()
        hits, misses = (
            _num_looked_up(self._page, self._tier, result) - _num_looked_up(before, self._tier, result)
            for result in ("hit", "miss")
        )
        return hits, misses

    async def _hang_up(self) -> None:
        self._client.close()


def _num_written(page: MetricsPage) -> int:
    return int(page.sum("kakehashi_encoder_cache_writes_total", result="ok"))


def _num_looked_up(page: MetricsPage, tier: Tier, result: str) -> int:
    return int(page.sum("kakehashi_encoder_cache_requests_total", tier=tier, result=result))
