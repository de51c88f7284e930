"""Laws: three failures in a row open, a pause later one operation probes, and no hang-up leaves the circuit stuck."""

import random
from collections.abc import Callable
from functools import partial

from service.cache.breaker import CircuitBreaker, Permit


def admitted(breaker: CircuitBreaker, *, now: float) -> Permit:
    permit = breaker.admit(now=now)
    assert permit is not None
    return permit


def fail(breaker: CircuitBreaker, *, now: float) -> bool:
    return breaker.fail(admitted(breaker, now=now), now=now)


def opened_breaker(*, now: float) -> CircuitBreaker:
    breaker = CircuitBreaker()
    assert [fail(breaker, now=now) for _ in range(3)] == [False, False, True]
    return breaker


def test_failures_that_are_not_in_a_row_leave_it_closed():
    breaker = CircuitBreaker()
    for _ in range(5):
        assert not fail(breaker, now=0)
        assert not fail(breaker, now=0)
        assert not breaker.succeed(admitted(breaker, now=0))
    assert breaker.is_closed


def test_an_open_circuit_lets_nothing_through_until_its_pause_is_over():
    breaker = opened_breaker(now=10)
    assert breaker.is_pausing(now=10.9)
    assert breaker.admit(now=10.9) is None
    assert not breaker.is_pausing(now=11)
    assert breaker.admit(now=11) is not None


def test_one_probe_is_let_through_at_a_time():
    breaker = opened_breaker(now=0)
    probe = admitted(breaker, now=1)
    assert breaker.admit(now=100) is None
    assert breaker.succeed(probe)
    assert breaker.is_closed
    assert breaker.admit(now=100) is not None


def test_pauses_double_from_probe_to_probe_up_to_the_longest():
    breaker = opened_breaker(now=0)
    now, pauses = 0.0, []
    for _ in range(7):
        pauses.append(breaker.pause_seconds)
        now += breaker.pause_seconds
        assert not fail(breaker, now=now)
        assert breaker.admit(now=now) is None
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_a_circuit_that_was_closed_starts_with_the_shortest_pause_again():
    breaker = opened_breaker(now=0)
    fail(breaker, now=1)
    assert breaker.succeed(admitted(breaker, now=3))
    assert [fail(breaker, now=4) for _ in range(3)] == [False, False, True]
    assert breaker.pause_seconds == 1


def test_a_probe_whose_caller_hung_up_leaves_its_place_to_the_next():
    breaker = opened_breaker(now=0)
    breaker.abandon(admitted(breaker, now=1))
    assert not breaker.is_closed
    assert breaker.succeed(admitted(breaker, now=1))


def test_an_operation_of_before_the_opening_changes_nothing_after_it():
    breaker = CircuitBreaker()
    slow, slower, slowest = (admitted(breaker, now=0) for _ in range(3))
    for _ in range(3):
        fail(breaker, now=0)
    probe = admitted(breaker, now=1)
    assert not breaker.succeed(slow)
    assert not breaker.fail(slower, now=1)
    breaker.abandon(slowest)
    assert breaker.admit(now=1) is None
    assert breaker.succeed(probe)


def test_abandoning_what_was_given_back_does_nothing():
    breaker = opened_breaker(now=0)
    probe = admitted(breaker, now=1)
    breaker.fail(probe, now=1)
    breaker.abandon(probe)
    assert breaker.is_pausing(now=2.9)


def test_it_is_never_stuck_whatever_its_operations_come_to():
    chance = random.Random(3)
    breaker = CircuitBreaker()
    running: list[Permit] = []
    for now in range(3_000):
        if permit := breaker.admit(now=now):
            running.append(permit)
        for permit in chance.sample(running, chance.randint(0, len(running))):
            running.remove(permit)
            ends: list[Callable[[Permit], object]] = [breaker.succeed, breaker.abandon, partial(breaker.fail, now=now)]
            chance.choice(ends)(permit)
    for permit in running:
        breaker.abandon(permit)
    assert breaker.admit(now=10_000) is not None
