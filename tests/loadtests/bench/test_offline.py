"""The whole of it on one core, in few and small batches."""

import sys
from pathlib import Path

import pytest

from loadtests.bench import __main__ as bench
from loadtests.bench.backend_process import BackendProcess
from loadtests.bench.machine import Machine
from loadtests.bench.sides import BackendSpec, Shape, Side


def test_an_offline_run_prints_ratios_and_agreement(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Machine, "read", lambda: Machine("Test CPU", 1, ("AMX",), "avx2"))
    arguments = "offline --quick --checkpoints bundled --compute-types float32 --peers ctranslate2 --beam-sizes 1"
    monkeypatch.setattr(sys, "argv", ["bench", *arguments.split()])
    bench.main()
    output = capsys.readouterr().out
    assert output.startswith(f"Test CPU, 1 core, AMX; our kernels: avx2\n\n    python -m loadtests.bench {arguments}\n")
    rows = [line.strip("| ").split(" | ") for line in output.splitlines() if line.startswith("| greedy")]
    assert [row[2] for row in rows] == ["kakehashi float32", "ctranslate2 int8"] * 3
    assert all(float(row[-1]) > 0 for row in rows)
    assert [row[-1] for row in rows[1::2]] == ["1.00"] * 3
    assert "| bundled | greedy | ctranslate2 int8 | kakehashi float32 |" in output


def test_a_process_that_cannot_load_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    spec = BackendSpec(Side("ctranslate2", "int8"), tmp_path, Shape(1, 1))
    with BackendProcess(spec) as process, pytest.raises(RuntimeError, match="the process of ctranslate2 int8 ended"):
        process.wait_loaded()
    assert str(tmp_path) in capfd.readouterr().err
