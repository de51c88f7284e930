"""Closed and open loops over one list of requests.

In a closed loop, clients send their next request when they have an answer, so a slow server receives fewer requests. In
an open loop a request is sent when it is due, even if earlier ones are unanswered. Its latency counts from that time,
so a stall of the server or of this process shows in all requests that were due meanwhile.

Neither loop sends a request while an equal one is in flight, unless only such requests are left: the server would
decode both as one.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.bench.latency import RequestResult
from loadtests.bench.lean_client import LeanClient
from loadtests.bench.turns import Turns


@dataclass(frozen=True, slots=True)
class Load:
    """`seconds` is the time from the first request to the last answer."""

    answers: list[RequestResult]
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        return sum(answer.num_tokens for answer in self.answers) / self.seconds


async def closed_loop(client: LeanClient, requests: Sequence[bytes], *, num_clients: int, stream: bool) -> Load:
    turns = Turns(requests, repeat=False)
    answers: list[RequestResult] = []

    async def work() -> None:
        while turns:
            request = turns.take()
            exchange = await client.ask(request, stream=stream)
            turns.answered(request)
            answers.append(RequestResult.of(exchange, due_at=exchange.sent_at))

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(num_clients):
            group.create_task(work())
    return Load(answers, time.perf_counter() - began)


async def open_loop(client: LeanClient, requests: Sequence[bytes], arrivals: Sequence[float], *, stream: bool) -> Load:
    """Send a request at each of `arrivals`, in seconds from now, cycling through `requests`."""
    turns = Turns(requests, repeat=True)
    answers: list[RequestResult] = []

    async def work(request: bytes, due_at: float) -> None:
        answers.append(RequestResult.of(await client.ask(request, stream=stream), due_at=due_at))
        turns.answered(request)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for due in arrivals:
            await asyncio.sleep(began + due - time.perf_counter())
            group.create_task(work(turns.take(), began + due))
    return Load(answers, time.perf_counter() - began)
