"""Laws of a subscription: nothing is lost or reordered, however it is read, and it ends once."""

import asyncio

import pytest

from model.search.results import Hypothesis, Progress, Token
from service.engine.events import TOKEN_EVENT_BYTES, Event, Started
from service.engine.owner import Owner
from service.engine.subscription import MAX_UNREAD_BYTES, Subscription
from service.errors import DeadlineExceededError, EngineFailedError, TooLargeError

END = (Hypothesis((5, 2), (-0.5, -0.5), -0.5, "stop"),)


class Left:
    """How often the subscription has left."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, _: Subscription) -> None:
        self.count += 1


def progress(*, ends: bool = False) -> Progress:
    return Progress(77, [Token(5, -0.5)], END if ends else ())


def make(num_decodes: int, *, deadline: float | None = None, left: Left | None = None) -> Subscription:
    subscription = Subscription(Owner("", 1, "interactive"), deadline=deadline, leave=left or Left())
    for _ in range(num_decodes):
        subscription.expect()
    return subscription


async def read(subscription: Subscription) -> list[list[tuple[int, Event]]]:
    batches = []
    while not subscription.is_over:
        batches.append(await subscription.next())
    return batches


async def test_each_step_wakes_a_reader_that_keeps_up():
    subscription = make(1)
    reading = asyncio.create_task(read(subscription))
    for ends in (False, False, True):
        await asyncio.sleep(0)
        subscription.push(0, progress(ends=ends))
        await asyncio.sleep(0)
    assert [len(events) for events in await reading] == [1, 1, 1]


async def test_a_start_is_read_with_what_follows_it():
    subscription = make(2)
    reading = asyncio.create_task(read(subscription))
    pushed: list[tuple[int, Event]] = [
        (0, Started(7, 0.0, encoded=True)),
        (1, Started(8, 0.0, encoded=True)),
        (0, progress(ends=True)),
        (1, progress(ends=True)),
    ]
    for key, event in pushed:
        await asyncio.sleep(0.001)
        subscription.push(key, event)
    assert await reading == [pushed[:3], pushed[3:]]


async def test_what_came_before_an_error_is_read_first_and_the_work_is_left_at_once():
    left = Left()
    subscription = make(1, left=left)
    subscription.push(0, progress())
    subscription.abort(EngineFailedError("over"))
    assert left.count == 1
    assert await subscription.next() == [(0, progress())]
    with pytest.raises(EngineFailedError):
        await subscription.next()


async def test_a_deadline_wakes_the_reader():
    subscription = make(1, deadline=asyncio.get_running_loop().time() + 0.01)
    with pytest.raises(DeadlineExceededError):
        await subscription.next()


async def test_a_deadline_leaves_the_work_of_a_reader_that_stands_still():
    left = Left()
    make(1, deadline=asyncio.get_running_loop().time() - 1, left=left)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert left.count == 1


async def test_a_deadline_after_the_end_changes_nothing():
    subscription = make(1, deadline=asyncio.get_running_loop().time())
    subscription.push(0, progress(ends=True))
    await asyncio.sleep(0.01)
    assert await subscription.next() == [(0, progress(ends=True))]
    assert subscription.is_over


async def test_closing_leaves_once_at_once_or_after_the_linger():
    left = Left()
    subscription = make(1, left=left)
    subscription.close()
    subscription.close()
    assert left.count == 1
    lingering = make(1, left=left)
    lingering.close(linger_seconds=0.01)
    assert left.count == 1
    await asyncio.sleep(0.05)
    assert left.count == 2


async def test_there_is_no_linger_after_the_end():
    left = Left()
    subscription = make(1, left=left)
    subscription.push(0, progress(ends=True))
    subscription.close(linger_seconds=60)
    assert left.count == 1


async def test_a_subscription_to_nothing_is_over():
    assert await read(make(0)) == []


async def test_a_reader_that_lags_too_far_behind_gets_an_error_after_what_is_kept():
    left = Left()
    subscription = make(2, left=left)
    tokens = [Token(5, -0.5)] * (MAX_UNREAD_BYTES // (4 * TOKEN_EVENT_BYTES))
    for key in (0, 1, 0, 1, 0, 1, 0):
        subscription.push(key, Progress(77, tokens))
    assert len(await subscription.next()) == 5
    with pytest.raises(TooLargeError, match="wait to be read"):
        await subscription.next()
    await asyncio.sleep(0)
    assert left.count == 1


async def test_what_was_read_does_not_count_as_a_lag():
    subscription = make(1)
    tokens = [Token(5, -0.5)] * (MAX_UNREAD_BYTES // (2 * TOKEN_EVENT_BYTES))
    for _ in range(10):
        subscription.push(0, Progress(77, tokens))
        assert len(await subscription.next()) == 1
    subscription.close()
