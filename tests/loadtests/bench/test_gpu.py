"""The benchmark for GPUs runs end to end in its tiny form on a CPU."""

import json
from argparse import ArgumentParser
from pathlib import Path

import pytest

from loadtests.bench.gpu import command


def run(output: Path, *flags: str) -> dict[str, object]:
    parser = ArgumentParser()
    command.add_arguments(parser)
    command.run(parser.parse_args(["--device", "cpu", "--output", str(output), *flags]))
    report: dict[str, object] = json.loads((output / "report.json").read_text())
    return report


def test_tiny_run_holds_what_must_hold_and_writes_its_report(tmp_path: Path) -> None:
    parts = run(tmp_path)["parts"]
    assert isinstance(parts, list)
    assert [part["problem"] for part in parts] == ["", "", "", "", "a tiny run starts no server"]
    assert all(check["holds"] for part in parts for check in part["checks"])
    assert sum(len(part["checks"]) for part in parts) == 6
    page = (tmp_path / "report.md").read_text()
    assert page.startswith("# CPU, torch ")
    assert "| tiny | 4 |" in page


def test_part_that_fails_is_reported_and_the_others_run(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="missed"):
        run(tmp_path, "--max-seconds", "0", "--parts", "pace", "served")
    page = (tmp_path / "report.md").read_text()
    assert "| the part runs to its end | **missed** |" in page
    assert "## A served load" in page
