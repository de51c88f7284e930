"""`kakehashi bench` is `python -m loadtests.bench`, where there is a checkout."""

from pathlib import Path

import pytest

from service.commandline.bench import run_bench
from service.commandline.errors import CommandError, ExitStatus
from tests.support.commandline import run


def test_all_arguments_are_those_of_the_benchmarks(tmp_path: Path) -> None:
    done = run("bench", "step", "--help", directory=tmp_path)
    assert done.returncode == 0
    assert b"--compute-types" in done.stdout


def test_without_a_checkout_there_are_no_benchmarks(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="they need a checkout of the repository") as raised:
        run_bench([], checkout=tmp_path)
    assert raised.value.status == ExitStatus.USAGE
