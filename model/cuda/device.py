"""What a step uses on a device: Triton's kernels and CUDA graphs on a GPU, nothing of the kind on a CPU."""

import logging
import shutil

import torch

from model.cuda.kernels import StepKernels, TorchKernels
from model.cuda.runtime import CudaRuntime, Runtime

logger = logging.getLogger(__name__)

COMPILERS = ("cc", "gcc", "clang")
"""Triton compiles a launcher in C for each kernel with one of these."""


def device_runtime(device: torch.device) -> Runtime | None:
    """None where steps are called, not replayed."""
    return CudaRuntime(device) if device.type == "cuda" else None


def step_kernels(device: torch.device) -> StepKernels:
    """On CUDA without a C compiler these are torch's, which read and mask the whole caches in each step."""
    if device.type != "cuda":
        return TorchKernels()
    if not any(map(shutil.which, COMPILERS)):
        logger.warning("decode steps are slower than necessary: Triton needs one of %s in PATH", ", ".join(COMPILERS))
        return TorchKernels()
    from model.cuda.triton_kernels import TritonKernels  # only here: torch's CPU builds come without Triton

    return TritonKernels()
