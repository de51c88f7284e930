"""The linear layers of each compute type, chosen once at load.

A checkpoint fills a `Linear`; `pack_linears` then puts in the place of each one what computes the same on CPU in less
time: weights in the order in which oneDNN wants them, in float32 or bfloat16, or in int8. On CUDA nothing is packed.
Shapes: K inputs, N outputs.
"""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from model.checkpoint.config import ModelConfig
from model.kernels import bindings as kernels
from model.kernels.bindings import LinearKernel
from model.transformer.compute_types import ComputeType

_PACKED_FOR_ROWS = 64
"""What the order of packed weights is chosen for; other numbers of rows are about as fast in that order."""
_ZERO_POINT = 128
"""Activations are unsigned, as VNNI multiplies unsigned by signed bytes."""


class Linear(nn.Linear):
    """Its weights are uninitialised until a checkpoint fills them."""

    def reset_parameters(self) -> None:
        """Drawing random weights, only to overwrite them, would take most of the time of a start."""


class Embedding(nn.Embedding):
    """As in `Linear`."""

    def reset_parameters(self) -> None:
        """As in `Linear`."""


class PackedLinear(nn.Module):
    """Of float32 or bfloat16, with weights in oneDNN's order."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _PACKED_FOR_ROWS)
        self.bias = linear.bias

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., K] -> [..., N]."""
        output: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, self.packed, self.bias, "none", [], "")
        return output


class Int8Linear(nn.Module):
    """Weights in int8 with a scale for each output; activations are quantized row by row as they come.

    With x = s * q and W = t * p, for each row's s and each output's t, xW^T = s * t * qp^T, where the products of bytes
    add up in int32 without rounding: so a row's result does not depend on the other rows.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scales = (weight.abs().amax(dim=1) / 127).clamp_(min=torch.finfo(torch.float32).tiny)
        quantized = (weight / scales[:, None]).round_().to(torch.int8)
        kind = LinearKernel if kernels.is_available() else OneDnnInt8
        self.product = kind(quantized, scales, linear.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., K] float32 -> [..., N] float32."""
        return self.product(inputs)


class OneDnnInt8:
    """The same product where our own kernels are not to be had."""

    def __init__(self, weight: Tensor, scales: Tensor, bias: Tensor | None) -> None:
        self.packed = torch.ops.onednn.qlinear_prepack(weight, [_PACKED_FOR_ROWS, weight.shape[1]])
        self.scales = scales
        self.zero_points = torch.zeros(len(weight), dtype=torch.int64)
        self.bias = bias

    def __call__(self, inputs: Tensor) -> Tensor:
        """[..., K] float32 -> [..., N] float32."""
        largest = inputs.abs().amax(dim=-1, keepdim=True).clamp_(min=torch.finfo(torch.float32).tiny)
        quantized = (inputs * (127 / largest)).round_().add_(_ZERO_POINT).to(torch.uint8)
        products: Tensor = torch.ops.onednn.qlinear_pointwise(
            quantized, 1.0, _ZERO_POINT, self.packed, self.scales, self.zero_points, None, 1.0, 0, torch.float32,
            "none", [], "",
        )  # fmt: skip
        products.mul_(largest / 127)
        return products if self.bias is None else products.add_(self.bias)


DTYPES: Mapping[ComputeType, torch.dtype] = MappingProxyType(
    {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "int8": torch.float32}
)
"""Of activations, and of weights that are not packed."""
PACKED_LINEARS: Mapping[ComputeType, type[PackedLinear] | type[Int8Linear]] = MappingProxyType(
    {"float32": PackedLinear, "bfloat16": PackedLinear, "int8": Int8Linear}
)
"""For CPU."""


def pack_linears(module: nn.Module, compute_type: ComputeType) -> None:
    """Put the packed form in the place of every `Linear` within `module`, in place."""
    packed = PACKED_LINEARS[compute_type]
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Linear):
                setattr(parent, name, packed(child))


def fastest_compute_type(config: ModelConfig, device: torch.device) -> ComputeType:
    """What `auto` means. On CPU int8 wherever its products are one instruction, by our own kernels or by oneDNN."""
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        has_vnni = any(capabilities.get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))
        return "int8" if has_vnni else "float32"
    # Published T5s overflow float16: their feed-forward layers were trained in bfloat16.
    return "bfloat16" if config.positions == "relative" else "float16"
