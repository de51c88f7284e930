"""Send raw cases to a server and judge what comes back: documented statuses only, and no connection that hangs."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from random import Random

import httptools

from loadtests.reliability.http_replies import Reply
from loadtests.reliability.raw_cases import RawCase, raw_case
from loadtests.reliability.wire import Wire

NUM_CLIENTS = 64
LIMIT_SECONDS = 30.0
"""Far longer than any of the server's limits on a connection; a connection that is open for longer hangs."""


@dataclass(slots=True)
class RawFuzz:
    """`statuses` counts all answers; `faults` describes each case that broke the law, with its number."""

    statuses: Counter[int] = field(default_factory=Counter)
    num_cases: int = 0
    faults: list[str] = field(default_factory=list)


async def send_raw_cases(port: int, num_cases: int, *, seed: int, documented: Collection[int]) -> RawFuzz:
    """The case of a number depends on the seed and the number only, so that it can be sent again alone."""
    result = RawFuzz()
    numbers = iter(range(num_cases))
    async with asyncio.TaskGroup() as group:
        for _ in range(NUM_CLIENTS):
            group.create_task(_work(port, numbers, seed, documented, result))
    return result


async def _work(port: int, numbers: Iterator[int], seed: int, documented: Collection[int], result: RawFuzz) -> None:
    for number in numbers:
        replies, fault = await _send(port, raw_case(Random(f"{seed} {number}")))
        result.num_cases += 1
        result.statuses.update(reply.status for reply in replies)
        undocumented = {reply.status for reply in replies} - set(documented)
        fault = fault or (f"undocumented statuses {undocumented}" if undocumented else "")
        if fault:
            result.faults.append(f"case {number} of seed {seed}: {fault}")


async def _send(port: int, case: RawCase) -> tuple[list[Reply], str]:
    """The answers, and the fault or ""."""
    async with Wire.open(port) as wire:
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await _exchange(wire, case)
        except TimeoutError:
            return wire.replies, f"the connection was still open after {LIMIT_SECONDS:g} s"
        except httptools.HttpParserError as error:
            return wire.replies, f"the answer is not HTTP: {error}"
        except ConnectionError:  # the server may end a connection in the middle of a request
            return wire.replies, ""
        return wire.replies, ""


async def _exchange(wire: Wire, case: RawCase) -> None:
    await wire.send(*case.pieces, pause_seconds=case.pause_seconds)
    if case.ending == "reset":
        wire.reset()
    elif case.ending != "close":
        if case.ending == "half-close":
            wire.half_close()
        while await wire.read():
            pass
