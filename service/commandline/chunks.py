"""Split texts into requests of bounded size, send several at once, and deliver the answers in order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

MAX_TEXTS = 128
"""The most that a server accepts by default."""
MAX_CHARACTERS = 20_000
"""Fewer than a server accepts by default, so that a request takes seconds even on a slow machine."""
NUM_IN_FLIGHT = 4
"""Enough that the running batch stays full while answers and requests are on their way."""

Job = TypeVar("Job")
Result = TypeVar("Result")


def chunked(texts: Iterable[str]) -> Iterator[list[str]]:
    """Chunks of texts, in order. A text over the limit is a chunk by itself."""
    chunk: list[str] = []
    num_characters = 0
    for text in texts:
        if chunk and (len(chunk) == MAX_TEXTS or num_characters + len(text) > MAX_CHARACTERS):
            yield chunk
            chunk, num_characters = [], 0
        chunk.append(text)
        num_characters += len(text)
    if chunk:
        yield chunk


async def run_in_order(
    jobs: AsyncIterator[Job],
    work: Callable[[Job], Awaitable[Result]],
    deliver: Callable[[Job, Result], Awaitable[None]],
    *,
    num_in_flight: int = NUM_IN_FLIGHT,
) -> None:
    """Work at several jobs at once and deliver their results in order; a job is taken only when there is room for it.

    Raises the first error of `jobs`, `work` or `deliver`, and cancels the jobs in flight.
    """
    room = asyncio.Semaphore(num_in_flight)
    started: asyncio.Queue[tuple[Job, asyncio.Task[Result]] | None] = asyncio.Queue()

    async def start_all(group: asyncio.TaskGroup) -> None:
        await room.acquire()
        async for job in jobs:
            started.put_nowait((job, group.create_task(_run(work, job))))
            await room.acquire()
        started.put_nowait(None)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(start_all(group))
            while (item := await started.get()) is not None:
                job, task = item
                await deliver(job, await task)
                room.release()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _run(work: Callable[[Job], Awaitable[Result]], job: Job) -> Result:
    return await work(job)
