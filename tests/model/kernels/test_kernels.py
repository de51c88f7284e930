"""Our own kernels equal plain arithmetic, and a row's result is the same in any batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from model.kernels import bindings as kernels
from model.kernels import libraries
from model.kernels.bindings import LinearKernel

pytestmark = pytest.mark.needs("kernels")

NUM_INPUTS = [1, 3, 37, 256, 2048]
NUM_OUTPUTS = [1, 15, 64, 70, 16_108]
WIDTHS = [1, 15, 16, 17, 63, 64, 65, 511, 512, 513, 16_108]
ROUNDINGS = 3 * torch.finfo(torch.float32).eps
"""Roundings: the product of bytes to float32, the product of scales, the result."""


@dataclass(frozen=True)
class Weights:
    weight: Tensor
    scales: Tensor
    bias: Tensor | None

    @classmethod
    def random(cls, num_inputs: int, num_outputs: int, *, bias: bool = True) -> "Weights":
        generator = torch.Generator().manual_seed(num_inputs * num_outputs)
        weight = torch.randint(-127, 128, (num_outputs, num_inputs), generator=generator, dtype=torch.int8)
        scales = torch.rand(num_outputs, generator=generator) / 127
        return cls(weight, scales, torch.randn(num_outputs, generator=generator) if bias else None)

    @property
    def kernel(self) -> LinearKernel:
        assert libraries.is_available()
        return LinearKernel(self.weight, self.scales, self.bias)

    def exact(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """[B, K] -> [B, N] float64, and what rounding to float32 may change. In float64 products of bytes are exact."""
        largest = inputs.abs().amax(dim=1, keepdim=True)
        quantized = torch.where(largest > 0, inputs * (127 / largest), 0.0).round()
        products = (quantized.double() @ self.weight.double().T) * ((largest / 127) * self.scales).double()
        bias = torch.zeros(len(self.weight)) if self.bias is None else self.bias
        return products + bias, ROUNDINGS * (products.abs() + bias.abs())


def random_inputs(num_rows: int, num_inputs: int) -> Tensor:
    """Rows of very different sizes."""
    generator = torch.Generator().manual_seed(num_rows)
    sizes = 10.0 ** torch.randint(-3, 4, (num_rows, 1), generator=generator)
    return torch.randn(num_rows, num_inputs, generator=generator) * sizes


def assert_exact(weights: Weights, inputs: Tensor) -> None:
    exact, tolerance = weights.exact(inputs)
    difference = (weights.kernel(inputs).double() - exact).abs()
    assert (difference <= tolerance).all(), (difference - tolerance).max()


@pytest.mark.parametrize("num_outputs", NUM_OUTPUTS)
@pytest.mark.parametrize("num_inputs", NUM_INPUTS)
def test_linear_equals_exact_integer_arithmetic(num_inputs: int, num_outputs: int) -> None:
    assert_exact(Weights.random(num_inputs, num_outputs), random_inputs(6, num_inputs))


@pytest.mark.parametrize("num_rows", [*range(1, 14), 161])
def test_linear_equals_exact_integer_arithmetic_of_any_number_of_rows(num_rows: int) -> None:
    assert_exact(Weights.random(37, 70), random_inputs(num_rows, 37))


def test_linear_without_bias_adds_nothing() -> None:
    weights = Weights.random(37, 70, bias=False)
    assert_exact(weights, random_inputs(5, 37))
    assert weights.kernel(torch.zeros(2, 37)).eq(0).all()


def test_linear_rounds_half_to_even() -> None:
    weights = Weights(torch.eye(8, dtype=torch.int8), torch.ones(8), None)
    inputs = torch.tensor([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5]])
    assert weights.kernel(inputs).tolist() == [[127, 0, 2, 2, 0, -2, -2, 126]]


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-40, -1e-40])
def test_rows_of_nothing_give_the_bias(value: float) -> None:
    weights = Weights.random(37, 70)
    assert weights.bias is not None
    inputs = torch.full((3, 37), value)
    torch.testing.assert_close(weights.kernel(inputs), weights.bias.expand(3, 70), rtol=0, atol=1e-30)


def test_linear_of_huge_values_is_exact() -> None:
    weights = Weights(torch.tensor([[127, -127], [1, 1]], dtype=torch.int8), torch.full((2,), 1e-3), None)
    inputs = torch.tensor([[3e38, -3e38], [3e38, 1.0], [-3e38, -0.0]])
    assert_exact(weights, inputs)
    assert weights.kernel(inputs).isfinite().all()


def test_largest_products_do_not_overflow() -> None:
    weights = Weights(torch.full((64, 8192), -127, dtype=torch.int8), torch.ones(64), None)
    assert_exact(weights, torch.ones(1, 8192))
    assert_exact(weights, -torch.ones(1, 8192))


@pytest.mark.parametrize("num_outputs", [64, 70, 300])
def test_rows_do_not_depend_on_their_batch(num_outputs: int) -> None:
    kernel, inputs = Weights.random(37, num_outputs).kernel, random_inputs(200, 37)
    alone = torch.cat([kernel(row[None]) for row in inputs])
    for num_rows in range(1, 201):
        start = num_rows * 7 % (201 - num_rows)
        assert torch.equal(kernel(inputs[start : start + num_rows]), alone[start : start + num_rows]), num_rows


def test_inputs_of_any_shape_and_stride_are_taken_row_by_row() -> None:
    kernel, inputs = Weights.random(37, 70).kernel, random_inputs(12, 37)
    strided = torch.stack([inputs, inputs + 1], dim=2)[..., 0]
    assert torch.equal(kernel(strided.view(3, 4, 37)), kernel(inputs).view(3, 4, 70))
    assert kernel(inputs[:0]).shape == (0, 70)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("num_rows", [1, 13, 161, 400])
def test_linear_does_not_depend_on_the_number_of_threads(num_rows: int) -> None:
    kernel, inputs = Weights.random(256, 2100).kernel, random_inputs(num_rows, 256)
    assert num_rows * 256 * 2100 > 2**19, "so few products are not shared out"
    by_two = kernel(inputs)
    torch.set_num_threads(1)
    assert torch.equal(kernel(inputs), by_two)


def random_logits(num_columns: int, *, num_rows: int = 9) -> Tensor:
    return torch.randn(num_rows, num_columns, generator=torch.Generator().manual_seed(num_columns)) * 5


def panel_maxima(logits: Tensor) -> Tensor:
    return torch.stack([part.amax(dim=1) for part in logits.split(kernels.PANEL, dim=1)], dim=1)


def assert_chosen(logits: Tensor) -> None:
    columns, largest, normalizers, maxima = kernels.choose(logits)
    assert columns.tolist() == first_argmax(logits.tolist())
    torch.testing.assert_close(normalizers.double(), logits.double().logsumexp(dim=1), rtol=1e-6, atol=1e-6)
    assert torch.equal(largest, logits.amax(dim=1))
    assert torch.equal(maxima, panel_maxima(logits))


def first_argmax(rows: Sequence[list[float]]) -> list[int]:
    return [row.index(max(row)) for row in rows]


@pytest.mark.parametrize("width", WIDTHS)
def test_choice_of_random_logits(width: int) -> None:
    assert_chosen(random_logits(width))


@pytest.mark.parametrize("width", WIDTHS)
def test_choice_of_equal_logits_is_the_first(width: int) -> None:
    assert_chosen(random_logits(width).round())
    assert_chosen(torch.full((3, width), -2.5))


@pytest.mark.parametrize("width", WIDTHS[1:])
def test_choice_passes_over_forbidden_tokens(width: int) -> None:
    logits = random_logits(width)
    forbidden = torch.rand(logits.shape, generator=torch.Generator().manual_seed(0)) < 0.9
    forbidden[:, -1] = False
    assert_chosen(logits.masked_fill(forbidden, -torch.inf))


@pytest.mark.parametrize("size", [1e3, 1e30])
def test_choice_of_huge_logits_does_not_overflow(size: float) -> None:
    assert_chosen(random_logits(300) * size)


@pytest.mark.parametrize("step", [50.0, 100.0, -100.0])
def test_choice_of_logits_that_grow_far_beyond_the_first_does_not_overflow(step: float) -> None:
    logits = random_logits(1000)
    assert_chosen(logits + torch.arange(1000) // kernels.PANEL * step)


def test_choice_from_nothing_is_the_first() -> None:
    columns, _, _, maxima = kernels.choose(torch.full((2, 130), -torch.inf))
    assert columns.eq(0).all()
    assert maxima.eq(-torch.inf).all()


def test_choice_does_not_need_dense_logits() -> None:
    logits = torch.stack([random_logits(1000), random_logits(1000) + 1], dim=2)[..., 0]
    expected = kernels.choose(logits.contiguous())
    assert all(map(torch.equal, kernels.choose(logits), expected))


def test_choice_does_not_depend_on_the_batch() -> None:
    logits = random_logits(16_108, num_rows=20)
    batch = kernels.choose(logits)
    for row in range(20):
        alone = kernels.choose(logits[row : row + 1])
        assert all(torch.equal(one, many[row : row + 1]) for one, many in zip(alone, batch, strict=True))


@pytest.mark.usefixtures("two_threads")
def test_choice_does_not_depend_on_the_number_of_threads() -> None:
    logits = random_logits(16_108, num_rows=20)
    by_two = kernels.choose(logits)
    torch.set_num_threads(1)
    assert all(map(torch.equal, kernels.choose(logits), by_two))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_rows_that_are_not_finite_give_nothing_but_nan(value: float) -> None:
    kernel, inputs = Weights.random(37, 70).kernel, random_inputs(6, 37)
    expected = kernel(inputs)
    inputs[2, 36] = value
    outputs = kernel(inputs)
    assert outputs[2].isnan().all()
    others = [0, 1, 3, 4, 5]
    assert torch.equal(outputs[others], expected[others])


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_choice_from_logits_that_are_not_finite_has_no_normalizer(value: float) -> None:
    logits = random_logits(300, num_rows=2)
    logits[1, 299] = value
    columns, _, normalizers, _ = kernels.choose(logits)
    assert normalizers[0].isfinite()
    assert normalizers[1].isnan()
    assert 0 <= columns[1] < 300
