"""What a process does before it computes on a GPU, and which kernels it takes there."""

import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from model.cuda import device
from model.cuda.device import step_kernels, triton_problem, use_device
from model.cuda.kernels import TorchKernels

CUDA = torch.device("cuda")


@pytest.fixture
def attention_of_cudnn() -> Iterator[None]:
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(True)
    yield
    torch.backends.cuda.enable_cudnn_sdp(before)


@pytest.mark.parametrize(("name", "index"), [("cuda", 0), ("cuda:1", 1)])
@pytest.mark.usefixtures("attention_of_cudnn")
def test_process_on_a_gpu_uses_its_device_and_no_attention_of_cudnn(
    name: str, index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    use_device(torch.device(name))
    assert used == [index]
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    assert torch.backends.cuda.mem_efficient_sdp_enabled()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for programs, and one for the headers, which are there; no compiler is named."""
    programs, headers = tmp_path / "bin", tmp_path / "include"
    programs.mkdir()
    headers.mkdir()
    (headers / "Python.h").touch()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(sysconfig, "get_paths", lambda _: {"include": str(headers)})
    return tmp_path


def add_program(machine: Path, name: str) -> None:
    (machine / "bin" / name).symlink_to(sys.executable)


@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_compiler_that_triton_looks_for_is_enough_beside_the_headers(machine: Path, name: str) -> None:
    add_program(machine, name)
    assert triton_problem() == ""
    (machine / "include" / "Python.h").unlink()
    assert triton_problem() == f"Triton needs the headers of Python: there is no {machine}/include/Python.h"


def test_compiler_by_another_name_is_enough_only_if_cc_names_it(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_program(machine, "cc")
    assert triton_problem() == "Triton needs a C compiler: CC, or gcc or clang in PATH"
    monkeypatch.setenv("CC", "cc")
    assert triton_problem() == ""


def test_compiler_that_cc_names_must_be_there(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_program(machine, "gcc")
    monkeypatch.setenv("CC", "icx")
    assert triton_problem() == "Triton cannot run the compiler that CC names: 'icx'"


def test_worker_without_what_triton_needs_takes_the_kernels_of_torch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(device, "triton_problem", lambda: "no headers")
    assert isinstance(step_kernels(CUDA), TorchKernels)
    assert "decode steps are slower than necessary: no headers" in caplog.text
