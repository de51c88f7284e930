"""What one core of this machine can do: bytes it reads and operations it computes in a second."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MEGABYTE = 10**6
WORKING_SETS = (4 * MEGABYTE, 12 * MEGABYTE, 30 * MEGABYTE, 60 * MEGABYTE, 90 * MEGABYTE, 120 * MEGABYTE)
"""The smaller ones may stay in a cache from one step to the next, and the weights of small models do."""
MATRIX_SIZE = 1024
NUM_RUNS = 9
ZERO_POINT = 128


@dataclass(frozen=True, slots=True)
class Roofline:
    bytes_per_second: Mapping[int, float]
    """By the size of the working set."""
    operations_per_second: Mapping[str, float]
    """By compute type; a multiplication and an addition are two."""

    def bandwidth(self, num_bytes: float) -> float:
        """Of the working set nearest in size."""
        return self.bytes_per_second[
            min(self.bytes_per_second, key=lambda size: max(size, num_bytes) / min(size, num_bytes))
        ]


def measure_roofline(compute_types: Sequence[str]) -> Roofline:
    """In as many threads as torch has, which should be one."""
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
    """The scalar product, for it reads faster than a sum or a matrix by a vector."""
    values = torch.ones(num_bytes // 4)
    left, right = values.chunk(2)
    return lambda: torch.dot(left, right)


def _multiplying(compute_type: str) -> Callable[[], Tensor]:
    """With weights in oneDNN's order, as the engine's linear layers have them."""
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
    """Unsigned activations and packed weights: other forms are computed by a reference, minutes long."""
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
