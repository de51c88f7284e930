"""Laws of what may enter, and of Retry-After."""

import pytest

from service.engine.backlog import Backlog
from service.engine.owner import Owner, Priority
from service.engine.room import Room
from service.errors import DeadlineUnreachableError, QueueFullError

SPEED = 1_000


def make_room(backlog: Backlog, *, speed: float | None = SPEED) -> Room:
    return Room(backlog, max_queue_tokens=100, speed=lambda: speed)


def backlog_of(*work: tuple[str, int, Priority, int]) -> Backlog:
    """Each is a client, a request id, a priority and tokens."""
    backlog = Backlog()
    for client, request_id, priority, num_tokens in work:
        backlog.add(Owner(client, request_id, priority), num_tokens)
    return backlog


def is_reachable(room: Room, num_tokens: int, *, seconds_left: float, priority: Priority = "interactive") -> bool:
    try:
        room.check_deadline(num_tokens, client="a", priority=priority, seconds_left=seconds_left)
    except DeadlineUnreachableError:
        return False
    return True


def test_what_waits_is_bounded():
    room = make_room(backlog_of(("a", 1, "interactive", 60)))
    room.check(40, "a", num_waiting=60)
    with pytest.raises(QueueFullError, match="about 41 more; the limit is 100"):
        room.check(41, "a", num_waiting=60)
    room = make_room(backlog_of(("a", 1, "interactive", 100)))
    with pytest.raises(QueueFullError, match="100 tokens are waiting"):
        room.check_gate("a", num_waiting=100)


def test_an_estimate_is_refused_only_if_there_is_clearly_no_room():
    room = make_room(backlog_of(("a", 1, "interactive", 60)))
    room.check_estimate(61, "a", num_waiting=60)
    with pytest.raises(QueueFullError):
        room.check_estimate(62, "a", num_waiting=60)


def test_a_request_of_any_size_may_enter_when_nothing_waits():
    make_room(Backlog()).check(1_000, "a", num_waiting=0)


def test_a_request_that_joins_all_of_its_work_needs_no_room():
    make_room(backlog_of(("a", 1, "interactive", 100))).check(0, "a", num_waiting=100)


@pytest.mark.parametrize("num_tokens", [100, 5_000])
def test_a_client_has_its_share_however_much_others_have_sent(num_tokens: int):
    room = make_room(backlog_of(("a", 1, "interactive", num_tokens)))
    room.check_gate("b", num_waiting=num_tokens)
    room.check(50, "b", num_waiting=num_tokens)
    with pytest.raises(QueueFullError):
        room.check(51, "b", num_waiting=num_tokens)
    room = make_room(backlog_of(("a", 1, "interactive", num_tokens), ("b", 2, "bulk", 50)))
    with pytest.raises(QueueFullError):
        room.check_gate("b", num_waiting=num_tokens + 50)
    room.check(33, "c", num_waiting=num_tokens + 50)
    with pytest.raises(QueueFullError):
        room.check(34, "c", num_waiting=num_tokens + 50)


@pytest.mark.parametrize(("num_tokens", "num_workers", "seconds"), [(0, 1, 1), (3_500, 1, 4), (3_500, 2, 2)])
def test_retry_after_is_the_time_in_which_the_work_so_far_is_done(num_tokens: int, num_workers: int, seconds: int):
    backlog = backlog_of(("a", 1, "interactive", num_tokens + 1), ("a", 1, "interactive", -1))
    assert make_room(backlog, speed=num_workers * SPEED).retry_after_seconds() == seconds


def test_nothing_is_refused_for_its_deadline_before_the_speed_is_known():
    assert is_reachable(make_room(Backlog(), speed=None), 10**9, seconds_left=0.01)


def test_a_request_whose_own_work_takes_clearly_too_long_is_refused():
    room = make_room(Backlog())
    assert is_reachable(room, 5_000, seconds_left=4.5)
    assert not is_reachable(room, 5_000, seconds_left=3.0)


def test_a_short_request_need_not_wait_for_the_end_of_a_long_one():
    room = make_room(backlog_of(("a", 1, "interactive", 60_000)))
    assert is_reachable(room, 10, seconds_left=0.1)
    assert not is_reachable(room, 60_000, seconds_left=90)


def test_a_short_request_waits_for_as_much_work_of_each_other_one():
    room = make_room(backlog_of(*(("a", request_id, "interactive", 50) for request_id in range(100))))
    assert is_reachable(room, 10, seconds_left=2)
    assert not is_reachable(room, 50, seconds_left=5)


def test_requests_of_other_clients_count_as_one():
    room = make_room(backlog_of(*(("b", request_id, "interactive", 50) for request_id in range(100))))
    assert is_reachable(room, 50, seconds_left=0.2)


def test_bulk_waits_for_interactive_work_and_not_the_other_way_round():
    room = make_room(backlog_of(("b", 1, "bulk", 5_000), ("b", 2, "interactive", 5_000)))
    assert is_reachable(room, 10, seconds_left=0.1)
    assert not is_reachable(room, 10, seconds_left=5, priority="bulk")


def test_ended_work_leaves_nothing_behind():
    backlog = backlog_of(("a", 1, "bulk", 5), ("b", 2, "interactive", 7))
    backlog.remove(Owner("a", 1, "bulk"), 5)
    assert backlog.num_tokens == 7
    assert backlog.ahead_of("a", "bulk", 100) == 7
