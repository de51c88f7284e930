"""A coroutine runs at once up to its first wait, and then as if it had been awaited."""

import asyncio

import pytest

from service.api.eager import Eager


async def test_without_a_wait_the_result_is_there_at_once():
    async def work() -> str:
        return "done"

    eager = Eager(work())
    assert eager.is_done
    assert await eager == "done"


async def test_an_error_before_the_first_wait_is_raised_at_once():
    async def work() -> None:
        raise ValueError("early")

    with pytest.raises(ValueError, match="early"):
        Eager(work())


async def test_after_a_wait_it_goes_on_to_its_result():
    steps: list[str] = []

    async def work() -> str:
        steps.append("begun")
        await asyncio.sleep(0)
        steps.append("resumed")
        await asyncio.sleep(0.001)
        return "done"

    eager = Eager(work())
    assert not eager.is_done
    assert steps == ["begun"]
    assert await eager == "done"
    assert steps == ["begun", "resumed"]


async def test_an_error_after_a_wait_is_raised_where_it_is_awaited():
    async def work() -> None:
        await asyncio.sleep(0)
        raise ValueError("late")

    eager = Eager(work())
    with pytest.raises(ValueError, match="late"):
        await eager


@pytest.mark.parametrize("num_waits", [1, 2])
async def test_a_cancellation_reaches_it_in_any_wait_and_may_be_survived(num_waits: int):
    async def work() -> str:
        try:
            for _ in range(num_waits - 1):
                await asyncio.sleep(0)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # it may wait even then
            return "cleaned up"
        return "never"

    async def outer() -> str:
        return await Eager(work())

    task = asyncio.create_task(outer())
    for _ in range(num_waits + 1):
        await asyncio.sleep(0)
    task.cancel()
    assert await task == "cleaned up"


async def test_a_timeout_around_the_rest_ends_it():
    cancelled = False

    async def work() -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise

    eager = Eager(work())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await eager
    assert cancelled
