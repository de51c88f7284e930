"""Generates the load on one server, in this process, and measures the CPU time of every process."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import uvloop

from loadtests.bench.http_requests import TRANSLATE
from loadtests.bench.lean_client import LeanClient, http_request
from loadtests.bench.load import Load, closed_loop, open_loop
from loadtests.bench.loopback import HOST
from loadtests.bench.running_server import BenchServer, CpuSeconds
from loadtests.bench.source_lines import SourceLine

KINDS = (False, True)
"""The values of `stream`: plain answers, then streams."""
REQUEST_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Measured:
    load: Load
    cpu: CpuSeconds


class Generator:
    def __init__(self, server: BenchServer, sentences: Sequence[SourceLine]) -> None:
        self._server = server
        self._requests = {
            stream: [http_request(TRANSLATE, sentence.body(stream=stream)) for sentence in sentences]
            for stream in KINDS
        }

    def closed(self, *, num_clients: int, stream: bool) -> Measured:
        requests = self._requests[stream]
        return self._measure(lambda client: closed_loop(client, requests, num_clients=num_clients, stream=stream))

    def open(self, arrivals: Sequence[float], *, stream: bool) -> Measured:
        requests = self._requests[stream]
        return self._measure(lambda client: open_loop(client, requests, arrivals, stream=stream))

    def _measure(self, make_load: Callable[[LeanClient], Awaitable[Load]]) -> Measured:
        async def run() -> Load:
            client = LeanClient(HOST, self._server.port, timeout_seconds=REQUEST_SECONDS)
            try:
                return await make_load(client)
            finally:
                client.close()

        gc.collect()  # so that garbage of the previous cell does not pause this one
        before = self._server.cpu_seconds()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            load = runner.run(run())
        return Measured(load, self._server.cpu_seconds().since(before))
