"""Copies from the host that no side waits for."""

import torch
from torch import Tensor


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """A copy of a host tensor on `device`, the tensor itself on CPU.

    CUDA copies from ordinary memory only after all work before it, so the tensor is copied to pinned memory first.
    """
    if device.type == "cuda":
        tensor = pinned(tensor)
    return tensor.to(device, non_blocking=True)


def pinned(tensor: Tensor) -> Tensor:
    """A dense copy in pinned memory. torch copies a strided tensor by way of ordinary memory, pinned or not."""
    return tensor.contiguous().pin_memory()
