"""The linear layers of each compute type, chosen once at load.

A checkpoint fills a `Linear`. On CPU a faster equivalent replaces it at once: float32 or bfloat16 weights packed in
oneDNN's order, or int8. On CUDA nothing is packed.
Shapes: K inputs, N outputs.
"""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from model.kernels.bindings import LinearKernel
from model.transformer.compute_types import ComputeType

_PACKED_FOR_ROWS = 64
"""The number of rows that packed weights are optimized for; other numbers are about as fast."""


_QUANTIZED_ROWS = 4096
"""The number of outputs to quantize at a time: a large vocabulary at once would take several times a layer's memory."""


class Linear(nn.Linear):
    """A linear layer whose weights take no memory until a checkpoint fills them."""

    def __init__(self, num_inputs: int, num_outputs: int, *, bias: bool) -> None:
        super().__init__(num_inputs, num_outputs, bias=bias, device="meta")

    def reset_parameters(self) -> None:
        """Nothing: see `Embedding`."""


class Embedding(nn.Embedding):
    """An embedding whose weights take no memory until a checkpoint fills them."""

    def __init__(self, num_embeddings: int, d_model: int) -> None:
        super().__init__(num_embeddings, d_model, device="meta")

    def reset_parameters(self) -> None:
        """Nothing, because a checkpoint fills the weights.

        To draw random weights without memory, torch would import its compiler, which takes more than a second.
        """


class PackedLinear(nn.Module):
    """float32 or bfloat16, with weights in oneDNN's order."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _PACKED_FOR_ROWS)
        self.bias = linear.bias

    def forward(self, inputs: Tensor) -> Tensor:
        """[..., K] -> [..., N]."""
        output: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, self.packed, self.bias, "none", [], "")
        return output


class Int8Linear(nn.Module):
    """int8 weights with a scale for each output; activations are quantized row by row at run time.

    With x = s * q for a row and W = t * p for an output, xW^T = s * t * qp^T. The products of bytes add up in int32
    without rounding, so a row's result does not depend on the other rows.
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
"""The type of activations, and of weights that are not packed."""
PackedKind = type[PackedLinear] | type[Int8Linear]
PACKED_LINEARS: Mapping[ComputeType, PackedKind] = MappingProxyType(
    {"float32": PackedLinear, "bfloat16": PackedLinear, "int8": Int8Linear}
)
"""The packed linear layers on CPU, by compute type."""
