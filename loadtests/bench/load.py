"""Closed and open loops over one list of requests.

In a closed loop each client sends its next request when it has its answer, so a slow server is asked less. In an open
loop a request is sent when it is due, whatever is still unanswered, and its latency counts from then: a stall of the
server, or of this process, is in the figures of all requests that were due meanwhile.

Neither sends a request while an equal one is in flight and another is left: the server would decode both as one.
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
    """`seconds` last from the first request to the last answer."""

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
    """One request for each of `arrivals`, in seconds from now; `requests` are used again and again."""
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
