"""A product with int8 weights that are read once, as they lie, and multiplied in the type of the inputs.

A candidate for the output head. It is not used, and not measured: the part `head` of the benchmark does that on a GPU.
"""

import triton
import triton.language as tl
from torch import Tensor

MAX_ROWS, OUTPUTS, DEPTH = 64, 128, 64
NUM_WARPS, NUM_STAGES = 4, 3
"""Not tuned: no GPU was at hand."""


@triton.jit
def multiply(
    inputs,
    weights,
    scales,
    outputs,
    num_rows,
    num_outputs,
    NUM_INPUTS: tl.constexpr,
    ROWS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """The outputs [B, N]: inputs [B, K] x weights [N, K] int8 x scales [N]; a program has a block of both B and N.

    Programs that share weights are neighbours. NUM_INPUTS is a multiple of DEPTH.
    """
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS)
    depths = tl.arange(0, DEPTH)
    is_row = rows < num_rows
    is_column = columns < num_outputs
    total = tl.zeros([ROWS, OUTPUTS], dtype=tl.float32)
    for start in range(0, NUM_INPUTS, DEPTH):
        at_inputs = rows[:, None] * NUM_INPUTS + start + depths[None, :]
        at_weights = columns[None, :].to(tl.int64) * NUM_INPUTS + start + depths[:, None]
        left = tl.load(inputs + at_inputs, mask=is_row[:, None], other=0.0)
        right = tl.load(weights + at_weights, mask=is_column[None, :], other=0).to(left.dtype)
        total += tl.dot(left, right)
    total *= tl.load(scales + columns, mask=is_column, other=0.0)[None, :]
    at_outputs = rows[:, None].to(tl.int64) * num_outputs + columns[None, :]
    tl.store(outputs + at_outputs, total.to(outputs.dtype.element_ty), mask=is_row[:, None] & is_column[None, :])


def product(inputs: Tensor, weights: Tensor, scales: Tensor) -> Tensor:
    """Map inputs [B, K] to [B, N], with weights [N, K] int8 and scales [N] float32."""
    num_rows, num_inputs = inputs.shape
    num_outputs = len(weights)
    rows = min(MAX_ROWS, max(16, triton.next_power_of_2(num_rows)))
    outputs = inputs.new_empty((num_rows, num_outputs))
    multiply[(triton.cdiv(num_rows, rows), triton.cdiv(num_outputs, OUTPUTS))](
        inputs,
        weights,
        scales,
        outputs,
        num_rows,
        num_outputs,
        NUM_INPUTS=num_inputs,
        ROWS=rows,
        OUTPUTS=OUTPUTS,
        DEPTH=DEPTH,
        num_warps=NUM_WARPS,
        num_stages=NUM_STAGES,
    )
    return outputs
