from pathlib import Path

from loadtests.bench.machine import Machine
from loadtests.bench.measurements import Agreement, Cell, Measurement, Setting, Timing
from loadtests.bench.sides import Shape, Side
from loadtests.bench.tables import agreement_table, scaling_table, speed_table

OURS, THEIRS = Side("kakehashi", "int8"), Side("ctranslate2", "int8")
ALONE, SATURATED = Cell("tiny", 4, 8), Cell("tiny", 4, None)


def measured(cell: Cell, side: Side, shape: Shape, *seconds: float) -> Measurement:
    """80 tokens in 10 steps, each time."""
    return Measurement(cell, side, Setting(shape, 8), [Timing(each, 80, 10, 1) for each in seconds])


MEASUREMENTS = [
    measured(ALONE, OURS, Shape(1, 1), 0.1, 0.4, 0.2),
    measured(ALONE, THEIRS, Shape(1, 2), 0.1, 0.1, 0.1),
    measured(SATURATED, OURS, Shape(2, 1), 0.1),
    measured(SATURATED, OURS, Shape(1, 1), 0.15),
    measured(SATURATED, THEIRS, Shape(2, 1), 0.2),
]


def rows(table: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]


def test_a_speed_is_the_median_round_with_its_spread_and_its_ratio_to_ctranslate2() -> None:
    ours, theirs, *_ = rows(speed_table(MEASUREMENTS))
    assert ours == ["beam 4", "8", "kakehashi int8", "1 × 1", "200 (100–400)", "20 (10–40)", "400 (200–800)", "0.50"]
    assert theirs[-1] == "1.00"


def test_a_saturated_speed_has_no_latency() -> None:
    assert rows(speed_table(MEASUREMENTS))[2][1:] == [
        "saturated, by 8", "kakehashi int8", "2 × 1", "–", "–", "800 (800–800)", "2.00",
    ]  # fmt: skip


def test_scaling_is_all_workers_over_one_where_both_were_measured() -> None:
    assert rows(scaling_table(MEASUREMENTS)) == [["tiny", "beam 4", "kakehashi int8", "2", "533", "800", "1.50"]]
    assert not scaling_table(MEASUREMENTS[:2])


def test_agreement_is_a_share_of_the_targets() -> None:
    agreement = Agreement("tiny", "greedy", OURS, Side("transformers", "float32"), 1_500, 2_000)
    assert rows(agreement_table([agreement])) == [
        ["tiny", "greedy", "kakehashi int8", "transformers float32", "1,500 of 2,000", "75.0%"]
    ]


def test_timings_count_tokens_and_the_longest_target_of_each_batch() -> None:
    assert Timing.of(2.0, [[[1, 2, 3], [4]], [[5, 6]]]) == Timing(2.0, num_tokens=6, num_steps=5, num_batches=2)


def test_a_plot_is_drawn_from_the_same_measurements(tmp_path: Path) -> None:
    from loadtests.bench.plots import plot_speeds  # matplotlib takes two seconds

    path = tmp_path / "speeds.png"
    plot_speeds(MEASUREMENTS, Machine("CPU", 2, (), "avx2"), path)
    assert path.read_bytes().startswith(b"\x89PNG")
