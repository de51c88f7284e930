"""What a step uses on a device: Triton's kernels and CUDA graphs on a GPU, nothing of the kind on a CPU."""

import logging
import os
import shutil
import sysconfig
from pathlib import Path

import torch

from model.cuda.kernels import StepKernels, TorchKernels
from model.cuda.runtime import CudaRuntime, Runtime

logger = logging.getLogger(__name__)

COMPILERS = ("gcc", "clang")
"""Triton compiles a launcher in C for each kernel with $CC, or with one of these."""


def use_device(device: torch.device) -> None:
    """Prepare this process to compute on a GPU."""
    torch.cuda.set_device(device.index or 0)  # Triton and graphs use the current one
    # Where torch prefers cuDNN's attention, it makes a plan for each new shape, on the host and while rows wait.
    # Sources and prompts have new shapes all the time. The other kinds of attention need no plan.
    torch.backends.cuda.enable_cudnn_sdp(False)


def device_runtime(device: torch.device) -> Runtime | None:
    """None where steps are called, not replayed."""
    return CudaRuntime(device) if device.type == "cuda" else None


def step_kernels(device: torch.device) -> StepKernels:
    """On CUDA without what Triton needs these are torch's, which read and mask the whole caches in each step."""
    if device.type != "cuda":
        return TorchKernels()
    if problem := triton_problem():
        logger.warning("decode steps are slower than necessary: %s", problem)
        return TorchKernels()
    from model.cuda.triton_kernels import TritonKernels  # only here: torch's CPU builds come without Triton

    return TritonKernels()


def triton_problem() -> str:
    """Why Triton cannot compile launchers here, found where it looks itself; empty if it can."""
    compiler = os.environ.get("CC")
    if compiler is not None and shutil.which(compiler) is None:
        return f"Triton cannot run the compiler that CC names: {compiler!r}"
    if compiler is None and not any(map(shutil.which, COMPILERS)):
        return f"Triton needs a C compiler: CC, or {' or '.join(COMPILERS)} in PATH"
    scheme = sysconfig.get_default_scheme()
    if scheme == "posix_local":  # Debian's, for packages beside those of the system
        scheme = "posix_prefix"
    header = Path(sysconfig.get_paths(scheme)["include"]) / "Python.h"
    return "" if header.is_file() else f"Triton needs the headers of Python: there is no {header}"
