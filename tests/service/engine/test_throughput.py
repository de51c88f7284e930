"""Laws of the measured speed, with a manual clock."""

import pytest

from service.engine.throughput import Throughput


def run(throughput: Throughput, *, seconds: float, speed: float, worker: str = "0", began: float = 0.0) -> None:
    """Turns of 10 ms, each of which leaves decodes waiting."""
    for turn in range(int(seconds / 0.01) + 1):
        now = began + turn * 0.01
        throughput.report(worker, now=now, num_tokens=round(speed * 0.01), leaves_waiting=True)


def test_the_speed_is_unknown_until_it_was_measured_for_a_while():
    throughput = Throughput()
    run(throughput, seconds=0.1, speed=5_000)
    assert throughput.tokens_per_second is None


def test_the_speed_is_that_of_one_worker():
    throughput = Throughput()
    for worker in ("0", "1"):
        run(throughput, seconds=1, speed=5_000, worker=worker)
    assert throughput.tokens_per_second == pytest.approx(5_000)


def test_a_change_of_speed_is_noticed():
    throughput = Throughput()
    run(throughput, seconds=60, speed=5_000)
    run(throughput, seconds=20, speed=10_000, began=60.01)
    assert throughput.tokens_per_second == pytest.approx(10_000, rel=0.1)


def test_turns_with_rows_to_spare_and_pauses_change_nothing():
    throughput = Throughput()
    run(throughput, seconds=1, speed=5_000)
    throughput.report("0", now=1.01, num_tokens=50, leaves_waiting=False)
    for second in range(2, 100):
        throughput.report("0", now=float(second), num_tokens=1, leaves_waiting=False)
    assert throughput.tokens_per_second == pytest.approx(5_000)


def test_the_time_that_a_dead_worker_is_away_does_not_count():
    throughput = Throughput()
    run(throughput, seconds=1, speed=5_000)
    throughput.lose("0")
    run(throughput, seconds=1, speed=5_000, began=60.0)
    assert throughput.tokens_per_second == pytest.approx(5_000)


def test_a_worker_with_a_slower_core_is_known_by_its_share_of_the_average():
    throughput = Throughput()
    run(throughput, seconds=1, speed=6_000, worker="0")
    run(throughput, seconds=1, speed=2_000, worker="1")
    assert throughput.tokens_per_second == pytest.approx(4_000)
    assert throughput.relative("0") == pytest.approx(1.5)
    assert throughput.relative("1") == pytest.approx(0.5)


def test_a_worker_that_keeps_up_counts_as_average():
    throughput = Throughput()
    run(throughput, seconds=1, speed=6_000, worker="0")
    run(throughput, seconds=1, speed=2_000, worker="1")
    throughput.report("1", now=1.01, num_tokens=20, leaves_waiting=False)
    assert throughput.relative("1") == throughput.relative("unknown") == 1.0
