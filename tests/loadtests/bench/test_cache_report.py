"""Laws of the cache benchmark's arithmetic."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from loadtests.bench.cache_plot import draw
from loadtests.bench.cache_report import comparison_table, encoded_table, first_token_table
from loadtests.bench.cache_throughput import Comparison, LoopRound
from loadtests.bench.encoded_tokens import EncodedTokens
from loadtests.bench.first_tokens import FirstTokens
from loadtests.bench.machine import Machine
from loadtests.bench.metrics_page import MetricsPage

CELL = FirstTokens("tiny", "redis", num_tokens=10, output_bytes=5 * 1024, num_left_out=2)
CELL.seconds.update({"no cache": [0.002], "miss": [0.005, 0.003, 0.004, 0.099, 0.002], "hit": [0.001, 0.003]})
OFF = LoopRound(
    seconds=2.0,
    num_failed=0,
    num_tokens=1_000,
    service_cpu_seconds=0.05,
    workers_cpu_seconds=0.1,
    num_hits=0,
    num_misses=0,
    num_shared=0,
)
ON = replace(OFF, seconds=1.0, num_hits=3, num_misses=7, service_cpu_seconds=0.06)


def rows(table: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]


def test_first_tokens_are_medians_with_quartiles_and_the_ratios_of_medians() -> None:
    assert rows(first_token_table([CELL])) == [
        ["tiny", "10", "5.0", "redis", "2.00 (2.00–2.00)", "4.00 (3.00–5.00)", "2.00 (1.50–2.50)",
         "0.50", "2.00", "2", "2"]
    ]  # fmt: skip


def test_throughput_is_compared_round_by_round() -> None:
    slow = replace(ON, seconds=4.0)
    comparison = Comparison("half repeated", is_stream=True, off=[OFF, replace(OFF, seconds=4.0)], on=[ON, slow])
    assert comparison.ratios(lambda loop: loop.tokens_per_second) == [2.0, 1.0]
    assert rows(comparison_table([comparison])) == [
        ["half repeated", "stream", "375 (250–500)", "625 (250–1000)", "1.50 (1.00–2.00)", "30%",
         "50", "60", "100", "100", "0", "0"]
    ]  # fmt: skip


def test_loops_that_all_failed_have_a_row_too() -> None:
    failed = replace(OFF, num_tokens=0, num_failed=10)
    (row,) = rows(comparison_table([Comparison("all new", is_stream=False, off=[failed], on=[failed])]))
    assert row == ["all new", "plain", "0", "0", "nan", "nan%", "nan", "nan", "nan", "nan", "0", "20"]


def test_encoded_tokens_are_a_fraction() -> None:
    encoded = EncodedTokens(in_one_request=200, in_separate_requests=600)
    assert encoded.ratio == Fraction(1, 3)
    assert rows(encoded_table(encoded))[-1] == ["ratio", "1/3"]


def test_first_tokens_are_drawn(tmp_path: Path) -> None:
    path = tmp_path / "cache.png"
    draw(path, [CELL], Machine("CPU", 2, (), "avx2"))
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("labels", "total"),
    [({}, 6.0), ({"tier": "memory"}, 3.0), ({"tier": "memory", "result": "hit"}, 1.0), ({"tier": "disk"}, 0.0)],
)
def test_a_metric_is_the_sum_over_the_series_with_its_labels(labels: dict[str, str], total: float) -> None:
    page = MetricsPage.of(
        '# TYPE a counter\na_total{tier="memory",result="hit"} 1.0\na_total{tier="memory",result="miss"} 2.0\n'
        'a_total{tier="redis",result="hit"} 3.0\n# TYPE b gauge\nb{tier="memory"} 4.0\n'
    )
    assert page.sum("a_total", **labels) == total
