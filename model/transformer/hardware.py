"""Decide which compute types a device supports: those that it multiplies in hardware, accurately and fast.

Emulated types are slower than float32 (on 512 × 512 weights at 64 rows, bfloat16 three times and float16 five times),
and oneDNN's int8 saturates without VNNI. So an emulated compute type is refused, and `auto` never picks it.
"""

from collections.abc import Mapping

import torch

from model.checkpoint.config import ModelConfig
from model.kernels import libraries as kernels
from model.transformer.compute_types import ComputeType, ComputeTypeError

_BFLOAT16_ON_CPU = (("avx512_bf16",), ("amx_bf16",), ("avx_ne_convert", "avx_vnni_int8"), ("bf16",))
"""Any one of these groups suffices. The names are from `torch.cpu.get_capabilities`; the last one is Arm's."""
_FLOAT16_ON_CPU = (("avx512_fp16",), ("amx_fp16",), ("avx_ne_convert", "avx_vnni_int8"))
_BFLOAT16_ON_CUDA = (8, 0)
"""The first compute capability with products in bfloat16: Ampere."""


def check_compute_type(compute_type: ComputeType, device: torch.device) -> None:
    """Raises ComputeTypeError if `device` does not support the compute type."""
    problem = _problem_on_cpu(compute_type) if device.type == "cpu" else _problem_on_cuda(compute_type, device)
    if problem is not None:
        raise ComputeTypeError(f"compute type {compute_type} {problem}")


def fastest_compute_type(config: ModelConfig, device: torch.device) -> ComputeType:
    """The compute type for `auto`. On CPU: int8 if our own kernels run, else float32."""
    if device.type == "cpu":
        return "int8" if kernels.is_available() else "float32"
    if config.positions != "relative":
        return "float16"
    # Published T5s overflow float16: their feed-forward layers were trained in bfloat16.
    return "bfloat16" if _problem_on_cuda("bfloat16", device) is None else "float32"


def _problem_on_cpu(compute_type: ComputeType) -> str | None:
    match compute_type:
        case "float32":
            return None
        case "int8":
            problem = kernels.find_kernels().problem
            return f"needs our own kernels, and {problem}; use float32" if problem else None
        case "bfloat16":
            if has_bfloat16(torch.cpu.get_capabilities()) and _onednn_takes(torch.bfloat16):
                return None
            return f"needs a CPU with AVX512-BF16, AMX-BF16, AVX-NE-CONVERT or Arm's BF16; use {_alternative()}"
        case "float16":
            if has_float16(torch.cpu.get_capabilities()) and _onednn_takes(torch.float16):
                return None
            return f"needs a GPU, or a CPU with AVX512-FP16, AMX-FP16 or AVX-NE-CONVERT; use {_alternative()}"


def _alternative() -> str:
    return "int8 or float32" if kernels.is_available() else "float32"


def _problem_on_cuda(compute_type: ComputeType, device: torch.device) -> str | None:
    match compute_type:
        case "int8":
            return "is for CPUs; on CUDA use float16"
        case "bfloat16" if torch.cuda.get_device_capability(device) < _BFLOAT16_ON_CUDA:
            return "needs a GPU with compute capability 8.0 or later; use float16 or float32"
    return None


def has_bfloat16(capabilities: Mapping[str, object]) -> bool:
    """Whether a CPU multiplies bfloat16, or converts it on the fly, in hardware."""
    return any(all(capabilities.get(name) for name in group) for group in _BFLOAT16_ON_CPU)


def has_float16(capabilities: Mapping[str, object]) -> bool:
    """Whether a CPU multiplies float16, or converts it on the fly, in hardware."""
    return any(all(capabilities.get(name) for name in group) for group in _FLOAT16_ON_CPU)


def _onednn_takes(dtype: torch.dtype) -> bool:
    """Whether oneDNN uses the type: a hypervisor or `ONEDNN_MAX_CPU_ISA` may hide instructions that the CPU has."""
    try:
        torch.ops.mkldnn._reorder_linear_weight(torch.zeros(1, 1, dtype=dtype))
    except RuntimeError:
        return False
    return True
