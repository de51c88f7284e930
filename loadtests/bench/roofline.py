"""The limits of one core of this machine: bytes read and operations computed in a second."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MEGABYTE = 10**6
WORKING_SETS = (4 * MEGABYTE, 12 * MEGABYTE, 30 * MEGABYTE, 60 * MEGABYTE, 90 * MEGABYTE, 120 * MEGABYTE)
"""Smaller working sets may stay in a cache from one step to the next, as the weights of small models do."""
MATRIX_SIZE = 1024
NUM_RUNS = 9
ZERO_POINT = 128


@dataclass(frozen=True, slots=True)
class Roofline:
    bytes_per_second: Mapping[int, float]
    """Bytes a second by the size of the working set."""
    operations_per_second: Mapping[str, float]
    """Operations a second by compute type; a multiplication and an addition are two."""

    def bandwidth(self, num_bytes: float) -> float:
        """The bandwidth at the nearest size of the working set."""
        return self.bytes_per_second[
            min(self.bytes_per_second, key=lambda size: max(size, num_bytes) / min(size, num_bytes))
        ]


def measure_roofline(compute_types: Sequence[str]) -> Roofline:
    """Measure in the threads of torch, which should be one."""
    bandwidths = {size: size / median_seconds(_reading(size)) for size in WORKING_SETS}
    operations = 2 * MATRIX_SIZE**3
    peaks = {each: operations / median_seconds(_multiplying(each)) for each in {*compute_types, "float32"}}
    return Roofline(bandwidths, peaks)


def median_seconds(run: Callable[[], Tensor]) -> float:
    run()
    seconds = []
    for _ in range(NUM_RUNS):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _reading(num_bytes: int) -> Callable[[], Tensor]:
    """A dot product, because it reads faster than a sum or a matrix-vector product."""
    values = torch.ones(num_bytes // 4)
    left, right = values.chunk(2)
    return lambda: torch.dot(left, right)


def _multiplying(compute_type: str) -> Callable[[], Tensor]:
    """Weights are in oneDNN's order, as in the engine's linear layers."""
    if compute_type == "int8":
        return _multiplying_int8()
    dtype = torch.bfloat16 if compute_type == "bfloat16" else torch.float32
    inputs, weight = (torch.randn(MATRIX_SIZE, MATRIX_SIZE).to(dtype) for _ in range(2))
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, MATRIX_SIZE)

    def multiply() -> Tensor:
        products: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, packed, None, "none", [], "")
        return products

    return multiply


def _multiplying_int8() -> Callable[[], Tensor]:
    """Activations are unsigned and weights packed: other forms run a reference that takes minutes."""
    inputs = torch.randint(256, (MATRIX_SIZE, MATRIX_SIZE), dtype=torch.uint8)
    weight = torch.randint(-127, 128, (MATRIX_SIZE, MATRIX_SIZE), dtype=torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(weight, [MATRIX_SIZE, MATRIX_SIZE])
    scales, zero_points = torch.ones(MATRIX_SIZE), torch.zeros(MATRIX_SIZE, dtype=torch.int64)

    def multiply() -> Tensor:
        products: Tensor = torch.ops.onednn.qlinear_pointwise(
            inputs, 1.0, ZERO_POINT, packed, scales, zero_points, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return products

    return multiply
