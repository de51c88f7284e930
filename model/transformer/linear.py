"""The linear layers of each compute type, chosen once at load.

A checkpoint fills a `Linear`, and what computes the same on CPU in less time takes its place at once: weights in the
order in which oneDNN wants them, in float32 or bfloat16, or in int8. On CUDA nothing is packed.
Shapes: K inputs, N outputs.
"""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from model.kernels.bindings import LinearKernel
from model.transformer.compute_types import ComputeType

_PACKED_FOR_ROWS = 64
"""What the order of packed weights is chosen for; other numbers of rows are about as fast in that order."""


_QUANTIZED_ROWS = 4096
"""As many outputs are quantized at a time: of a large vocabulary all would take several times the memory of a layer."""


class Linear(nn.Linear):
    """Its weights take no memory until a checkpoint fills them."""

    def __init__(self, num_inputs: int, num_outputs: int, *, bias: bool) -> None:
        super().__init__(num_inputs, num_outputs, bias=bias, device="meta")


class Embedding(nn.Embedding):
    """As `Linear`."""

    def __init__(self, num_embeddings: int, d_model: int) -> None:
        super().__init__(num_embeddings, d_model, device="meta")


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
        quantized = torch.empty(linear.weight.shape, dtype=torch.int8)
        scales = torch.empty(len(quantized))
        for start in range(0, len(quantized), _QUANTIZED_ROWS):
            rows = slice(start, start + _QUANTIZED_ROWS)
            weight = linear.weight[rows].detach().float()
            scales[rows] = (weight.abs().amax(dim=1) / 127).clamp_(min=torch.finfo(torch.float32).tiny)
            quantized[rows] = (weight / scales[rows, None]).round_()
        self.product = LinearKernel(quantized, scales, linear.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., K] float32 -> [..., N] float32."""
        return self.product(inputs)


DTYPES: Mapping[ComputeType, torch.dtype] = MappingProxyType(
    {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "int8": torch.float32}
)
"""Of activations, and of weights that are not packed."""
PackedKind = type[PackedLinear] | type[Int8Linear]
PACKED_LINEARS: Mapping[ComputeType, PackedKind] = MappingProxyType(
    {"float32": PackedLinear, "bfloat16": PackedLinear, "int8": Int8Linear}
)
"""For CPU."""
