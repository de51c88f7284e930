"""Requests are bounded, several at once, and answered in order."""

import asyncio
from collections.abc import AsyncIterator
from itertools import chain

import pytest

from service.commandline.chunks import MAX_CHARACTERS, MAX_TEXTS, chunked, run_in_order


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


def test_chunks_are_the_texts_in_order_under_both_limits() -> None:
    texts = ["a"] * (MAX_TEXTS + 1) + ["b" * (MAX_CHARACTERS // 2)] * 3
    chunks = list(chunked(texts))
    assert list(chain.from_iterable(chunks)) == texts
    assert all(len(chunk) <= MAX_TEXTS and sum(map(len, chunk)) <= MAX_CHARACTERS for chunk in chunks)
    assert len(chunks) == 3


def test_a_text_over_the_limit_is_a_chunk_by_itself() -> None:
    long = "c" * (MAX_CHARACTERS + 1)
    assert list(chunked(["a", long, "b"])) == [["a"], [long], ["b"]]


async def test_results_are_delivered_in_order_whichever_comes_first() -> None:
    gates = [asyncio.Event() for _ in range(4)]
    delivered: list[int] = []

    async def work(number: int) -> int:
        if number < 3:
            await gates[number + 1].wait()
        gates[number].set()
        return number * 10

    async def deliver(number: int, result: int) -> None:
        delivered.append(result + number)

    await run_in_order(numbers(4), work, deliver, num_in_flight=4)
    assert delivered == [0, 11, 22, 33]


async def test_no_more_than_a_few_are_in_flight_or_taken() -> None:
    taken = num_in_flight = most = 0

    async def jobs() -> AsyncIterator[int]:
        nonlocal taken
        for taken in range(1, 21):
            yield taken

    async def work(job: int) -> None:
        nonlocal num_in_flight, most
        num_in_flight += 1
        most = max(most, num_in_flight)
        await asyncio.sleep(0)
        assert taken <= job + 3
        num_in_flight -= 1

    async def deliver(_: int, __: None) -> None: ...

    await run_in_order(jobs(), work, deliver, num_in_flight=3)
    assert most == 3


async def test_a_result_is_delivered_while_the_next_job_has_not_come() -> None:
    delivered = asyncio.Event()

    async def jobs() -> AsyncIterator[int]:
        yield 1
        await delivered.wait()

    async def work(job: int) -> int:
        return job

    async def deliver(_: int, __: int) -> None:
        delivered.set()

    await asyncio.wait_for(run_in_order(jobs(), work, deliver), 20)


@pytest.mark.parametrize("failing", ["jobs", "work", "deliver"])
async def test_the_first_error_ends_all(failing: str) -> None:
    async def jobs() -> AsyncIterator[int]:
        yield 1
        if failing == "jobs":
            raise LookupError
        yield 2

    async def work(_: int) -> None:
        if failing == "work":
            raise LookupError

    async def deliver(_: int, __: None) -> None:
        if failing == "deliver":
            raise LookupError

    with pytest.raises(LookupError):
        await run_in_order(jobs(), work, deliver)
