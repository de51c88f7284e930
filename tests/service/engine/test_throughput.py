"""Laws of the measured speed, with a manual clock."""

import pytest

from service.engine.throughput import Throughput


def run(throughput: Throughput, *, seconds: float, speed: float, worker: str = "0", began: float = 0.0) -> None:
    """Turns of 10 ms, each of which leaves decodes waiting."""
    for turn in range(int(seconds / 0.01) + 1):
        now = began + turn * 0.01
        report(throughput, now, round(speed * 0.01), worker=worker)


def report(
    throughput: Throughput, now: float, num_tokens: int, *, worker: str = "0", leaves_waiting: bool = True
) -> None:
    throughput.report(worker, now=now, turn_seconds=0.01, num_tokens=num_tokens, leaves_waiting=leaves_waiting)


def test_the_speed_is_unknown_until_it_was_measured_for_a_while():
    throughput = Throughput()
    run(throughput, seconds=0.1, speed=5_000)
    assert throughput.tokens_per_second(now=0.1) is None


def test_the_speed_is_that_of_one_worker():
    throughput = Throughput()
    for worker in ("0", "1"):
        run(throughput, seconds=1, speed=5_000, worker=worker)
    assert throughput.tokens_per_second(now=1.0) == pytest.approx(5_000)


def test_a_change_of_speed_is_noticed():
    throughput = Throughput()
    run(throughput, seconds=60, speed=5_000)
    run(throughput, seconds=20, speed=10_000, began=60.01)
    assert throughput.tokens_per_second(now=80.0) == pytest.approx(10_000, rel=0.1)


def test_turns_with_rows_to_spare_and_pauses_change_nothing():
    throughput = Throughput()
    run(throughput, seconds=1, speed=5_000)
    report(throughput, 1.01, 50, leaves_waiting=False)
    for second in range(2, 100):
        report(throughput, float(second), 1, leaves_waiting=False)
    assert throughput.tokens_per_second(now=99.0) == pytest.approx(5_000)


def test_the_time_that_a_dead_worker_is_away_does_not_count():
    throughput = Throughput()
    run(throughput, seconds=1, speed=5_000)
    throughput.lose("0")
    run(throughput, seconds=1, speed=5_000, began=60.0)
    assert throughput.tokens_per_second(now=61.0) == pytest.approx(5_000)


def test_a_worker_with_a_slower_core_is_known_by_its_share_of_the_average():
    throughput = Throughput()
    run(throughput, seconds=1, speed=6_000, worker="0")
    run(throughput, seconds=1, speed=2_000, worker="1")
    assert throughput.tokens_per_second(now=1.0) == pytest.approx(4_000)
    assert throughput.relative("0") == pytest.approx(1.5)
    assert throughput.relative("1") == pytest.approx(0.5)


def test_a_worker_that_keeps_up_counts_as_average():
    throughput = Throughput()
    run(throughput, seconds=1, speed=6_000, worker="0")
    run(throughput, seconds=1, speed=2_000, worker="1")
    report(throughput, 1.01, 20, worker="1", leaves_waiting=False)
    assert throughput.relative("1") == throughput.relative("unknown") == 1.0


def test_an_old_measurement_of_a_standstill_gives_way_to_the_fastest_turn():
    throughput = Throughput()
    report(throughput, 0.0, 50)
    report(throughput, 60.0, 50, leaves_waiting=False)
    assert throughput.tokens_per_second(now=60.0) == pytest.approx(50 / 60)
    assert throughput.tokens_per_second(now=70.0) == pytest.approx(5_000)
