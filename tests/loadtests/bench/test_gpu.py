"""The benchmark for GPUs runs end to end in its tiny form on a CPU, with no more packages than a GPU's image has."""

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from loadtests.bench.gpu import served, setting, throughput
from loadtests.bench.gpu.decoder import Decoder
from loadtests.bench.gpu.part_process import PartProcess, run_part
from loadtests.bench.gpu.parts import PARTS
from loadtests.bench.gpu.report import Part, Table, as_markdown
from loadtests.bench.gpu.setting import Setting
from loadtests.bench.gpu.subjects import bundled_specs, random_specs
from loadtests.bench.gpu.waits import TURN, Call, judge
from loadtests.bench.random_checkpoints import save_small_marian
from model.checkpoint.config import read_checkpoint
from tests.support.failing_parts import STARTED, fail_in_many_ways, refuse_to_start_again

ROOT = Path(__file__).parents[3]
MISSING = (
    *("ctranslate2", "dotenv", "fastapi", "hiredis", "langcodes", "msgspec", "opentelemetry", "polib"),
    *("py3langid", "pydantic", "python_multipart", "redis", "sentencex", "srt", "starlette", "turbohtml", "uvicorn"),
)
HIDE = """
from importlib.machinery import PathFinder
find_spec = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] in {missing} else find_spec(name, *rest)
"""


def test_tiny_run_holds_what_must_hold_without_the_packages_of_the_server(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDE.format(missing=set(MISSING)))
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.bench", "gpu", "--device", "cpu", "--output", tmp_path],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parts = json.loads((tmp_path / "report.json").read_text())["parts"]
    problems = {part["name"]: part["problem"] for part in parts if part["problem"]}
    assert problems.pop("A served load").startswith("packages of the server are missing: fastapi, uvicorn")
    assert (len(parts), problems) == (len(PARTS), {})
    assert all(check["holds"] for part in parts for check in part["checks"])
    assert [failure for part in parts for failure in part["failures"]] == []
    page = (tmp_path / "report.md").read_text()
    assert "| tiny | 4 |" in page
    assert "CTranslate2 was not measured: the package ctranslate2 is not installed." in page


def test_ctranslate2_is_measured_beside_ours_where_it_is_installed() -> None:
    setting = Setting.of("cpu", max_seconds=60)
    assert throughput.missing_ctranslate2(setting) == ""
    specs = bundled_specs(4, max_new_tokens=4)
    table = Table("", [], [])
    assert throughput.ctranslate2_speed(setting, specs, table) > 0
    assert [row[0] for row in table.body] == ["CTranslate2"]


def calls(*names: str) -> list[Call]:
    """A turn from 10 to 20 with these calls inside, and a wait after it."""
    inside = [Call(name, 11.0 + index, 11.5 + index) for index, name in enumerate(names)]
    return [Call(TURN, 10.0, 20.0), *inside, Call("cudaDeviceSynchronize", 21.0, 22.0)]


@pytest.mark.parametrize(
    ("names", "holds", "detail"),
    [
        (["cudaGraphLaunch", "cudaMemcpyAsync", "cudaEventSynchronize"], True, "1 turns"),
        (["cudaGraphLaunch", "cudaEventSynchronize", "cudaEventSynchronize"], False, "2 cudaEventSynchronize"),
        (["cudaLaunchKernel", "cudaMalloc_v3020", "cudaMemcpy"], False, "1 cudaMalloc, 1 cudaMemcpy"),
        (["cuLaunchKernelEx", "cudaStreamSynchronize"], False, "1 cudaStreamSynchronize"),
        ([], False, "the trace has no calls of CUDA"),
    ],
)
def test_trace_of_turns_shows_waits_of_the_driver(names: list[str], holds: bool, detail: str) -> None:
    assert judge(calls(*names), num_turns=1, on_cuda=True) == (holds, detail)


def test_trace_without_a_turn_shows_nothing() -> None:
    assert judge(calls(), num_turns=2, on_cuda=False) == (False, "the trace has 1 of 2 turns")


def test_rules_of_the_random_marian_act_on_its_targets(tmp_path: Path) -> None:
    save_small_marian(tmp_path)
    checkpoint = read_checkpoint(tmp_path, name="random")
    specs = random_specs(checkpoint.config, 32, source_tokens=20, prompt_tokens=1, new_tokens=12)
    targets = Decoder(Setting.of("cpu", max_seconds=60), torch.float32, checkpoint=checkpoint).decode(specs)
    assert {target[-1] for target in targets} == {checkpoint.config.eos_token_id}
    lengths = [1 + len(target) for target in targets]  # with the prompt
    assert min(lengths) > checkpoint.generation.min_length > 1
    assert max(lengths) == 1 + 12
    assert len({tuple(target) for target in targets}) > 16


@pytest.mark.parametrize(("problem", "name"), [("", "H100"), ("no headers", "H100 with torch's kernels (no headers)")])
def test_report_names_the_device_and_why_triton_is_not_used(
    problem: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setting, "use_device", lambda _: None)
    monkeypatch.setattr(setting, "triton_problem", lambda: problem)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "H100")
    assert setting.prepare_device("cuda") == name


def test_part_without_time_is_reported() -> None:
    part, is_usable = run_part("pace", "cpu", max_seconds=0)
    page = as_markdown("", [part])
    assert is_usable
    assert "| the part runs to its end | **missed** |" in page
    assert "**Not run to its end:** OutOfTimeError" in page


def test_failed_attempt_is_reported_with_its_traceback_and_the_part_goes_on() -> None:
    part = Part("Part", 1)
    with part.attempt("fp8"):
        int("fp8")
    page = as_markdown("", [part])
    assert "fp8\nTraceback" in page
    assert "ValueError: invalid literal" in page
    assert part.checks == []


def test_server_that_does_not_start_ends_its_part_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(setting: Setting, part: Part) -> None:
        raise SystemExit("the server ended with status 1")

    monkeypatch.setattr(served, "measure", measure)
    part, is_usable = run_part("served", "cpu", max_seconds=60)
    assert (part.problem, is_usable) == ("SystemExit: the server ended with status 1", True)


def test_peer_whose_libraries_do_not_load_leaves_the_other_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(setting: Setting) -> str:
        raise OSError("libcublas.so.12: cannot open shared object file")

    monkeypatch.setattr(throughput, "our_speeds", lambda *_: [2.0])
    monkeypatch.setattr(throughput, "transformers_speed", lambda *_: 1.0)
    monkeypatch.setattr(throughput, "missing_ctranslate2", fail)
    part, _ = run_part("throughput", "cpu", max_seconds=60)
    assert part.problem == ""
    assert "libcublas.so.12" in part.failures[0]


def test_measured_figures_are_saved_before_the_next_measurement() -> None:
    num_rows: list[int] = []

    def save(part: Part) -> None:
        num_rows.append(sum(len(table.body) for table in part.tables))

    run_part("steps", "cpu", max_seconds=60, save=save)
    assert num_rows == [0, 0, 0, 1]


def test_part_that_crashes_or_hangs_is_reported_with_its_figures_and_the_others_run() -> None:
    with PartProcess("cpu", target=fail_in_many_ways, more_seconds=0) as process:
        crashed = process.measure("parity", max_seconds=60)
        hung = process.measure("steps", max_seconds=2)
        ending = process.measure("memory", max_seconds=60)
        for child in multiprocessing.active_children():
            child.join()
        good = process.measure("pace", max_seconds=60)
    assert crashed.problem == "RuntimeError: the process of the part died"
    assert hung.problem == "TimeoutError: the part hung"
    assert [(part.name, part.problem) for part in (ending, good)] == [("memory", ""), ("pace", "")]
    assert all(part.notes == ["measured before"] for part in (crashed, hung, ending, good))


def test_device_that_is_lost_is_reported_for_each_part_that_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with PartProcess("cpu", target=refuse_to_start_again) as process:
        monkeypatch.setenv(STARTED, "1")
        crashed, lost = (process.measure(name, max_seconds=60) for name in ("parity", "steps"))
    assert crashed.problem == "RuntimeError: the process of the part died"
    assert lost.problem == "NotReadyError: cpu cannot be used: see above"
