"""What a step uses on a device: Triton's kernels and CUDA graphs on a GPU, nothing of the kind on a CPU."""

import logging
import shutil

import torch

from model.cuda.kernels import StepKernels, TorchKernels
from model.cuda.runtime import CudaRuntime, Runtime

logger = logging.getLogger(__name__)

COMPILERS = ("cc", "gcc", "clang")
"""Triton compiles a launcher in C for each kernel with one of these."""


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
    """On CUDA without a C compiler these are torch's, which read and mask the whole caches in each step."""
    if device.type != "cuda":
        return TorchKernels()
    if not any(map(shutil.which, COMPILERS)):
        logger.warning("decode steps are slower than necessary: Triton needs one of %s in PATH", ", ".join(COMPILERS))
        return TorchKernels()
    from model.cuda.triton_kernels import TritonKernels  # only here: torch's CPU builds come without Triton

    return TritonKernels()
