"""The output head, W [N, D], in several types: what it takes, and how far its logits are from float32.

Shapes: B rows, D model size, N vocabulary.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from loadtests.bench.gpu.report import Part, Table
from loadtests.bench.gpu.setting import Setting
from loadtests.bench.gpu.subjects import INIT_STD, Size, sizes
from loadtests.bench.gpu.timing import replayed_seconds

ROWS = (1, 64, 256, 1024)
ALIGNMENT = 64
"""Logits of an odd number of columns cannot be written in wide steps. Products in fp8 need a multiple of 16."""
LEAST_INT8_ROWS = 32
"""`torch._int_mm` takes 17 or more on CUDA."""
FP8 = torch.float8_e4m3fn
TINY = 1e-12

Head = Callable[[Tensor], Tensor]
"""Map inputs [B, D] to logits [B, N], or more columns."""


def measure(setting: Setting, part: Part) -> None:
    head = ["checkpoint", "rows", "weights", "ms", "over float16", "equal choices", "relative error"]
    part.tables.append(Table("Random weights and inputs; quantizing the inputs counts", head, []))
    for size in sizes(is_tiny=setting.is_tiny):
        setting.check_time(8)
        compare(setting, part, size)


@torch.inference_mode()
def compare(setting: Setting, part: Part, size: Size) -> None:
    generator = torch.Generator(setting.device).manual_seed(4)
    make = partial(torch.randn, device=setting.device, generator=generator)
    weight = make(size.config.decoder_vocab_size, size.config.d_model).mul_(INIT_STD).to(setting.half)
    inputs = make(max(ROWS), size.config.d_model).to(setting.half)
    plain: dict[int, float] = {}
    for name, make_head in variants(setting, weight):
        with part.attempt(f"{size.name}: {name}"):
            head = make_head()
            for num_rows in (1, 4) if setting.is_tiny else ROWS:
                setting.check_time(2)
                with part.attempt(f"{size.name}: {name}, {num_rows} rows"):
                    some = inputs[:num_rows]
                    equal, error = beside_float32(head(some), some, weight)
                    seconds = replayed_seconds(setting, partial(head, some))
                    times = [f"{1000 * seconds:.3f}", f"{seconds / plain.setdefault(num_rows, seconds):.2f}"]
                    body = [size.name, f"{num_rows:,}", name, *times, f"{equal:.1%}", f"{error:.1e}"]
                    part.tables[0].body.append(body)


def variants(setting: Setting, weight: Tensor) -> Iterator[tuple[str, Callable[[], Head]]]:
    """float16 first."""
    aligned = F.pad(weight, (0, 0, 0, -len(weight) % ALIGNMENT))
    yield "float16", lambda: lambda inputs: F.linear(inputs, weight)
    yield f"float16, padded to a multiple of {ALIGNMENT}", lambda: lambda inputs: F.linear(inputs, aligned)
    yield "int8, inputs too", partial(int8_head, aligned)
    if setting.device.type == "cuda":
        yield "int8, our Triton kernel", partial(triton_head, weight)
    yield "fp8, inputs too", partial(fp8_head, aligned)


def beside_float32(logits: Tensor, inputs: Tensor, weight: Tensor) -> tuple[float, float]:
    """The share of rows with the same choice, and the error of logits relative to their size."""
    expected = F.linear(inputs.float(), weight.float())
    logits = logits[:, : len(weight)].float()
    equal = (logits.argmax(dim=1) == expected.argmax(dim=1)).float().mean()
    return float(equal), float((logits - expected).norm() / expected.norm())


def quantized(values: Tensor) -> tuple[Tensor, Tensor]:
    """int8 rows, and the scale of each row [B, 1]."""
    scales = values.float().abs().amax(dim=1, keepdim=True).clamp_(min=TINY) / 127
    return (values / scales).round_().to(torch.int8), scales


def int8_head(weight: Tensor) -> Head:
    """Scaled by operations of their own, which a kernel of ours would fuse with the product."""
    rows, scales = quantized(weight)
    scales = scales.T.contiguous()

    def multiply(inputs: Tensor) -> Tensor:
        padded = F.pad(inputs, (0, 0, 0, max(0, LEAST_INT8_ROWS - len(inputs))))
        quantized_inputs, input_scales = quantized(padded)
        sums = torch._int_mm(quantized_inputs, rows.T)
        return (sums * input_scales * scales).to(inputs.dtype)[: len(inputs)]

    return multiply


def triton_head(weight: Tensor) -> Head:
    from loadtests.bench.gpu.triton_head import product  # only here: torch's CPU builds come without Triton

    rows, scales = quantized(weight)
    return partial(product, weights=rows, scales=scales[:, 0].contiguous())


def fp8_head(weight: Tensor) -> Head:
    """One scale for all weights and one for all inputs: the fastest form."""
    largest = torch.finfo(FP8).max
    weight_scale = weight.float().abs().amax() / largest
    rows = (weight / weight_scale).to(FP8)

    def multiply(inputs: Tensor) -> Tensor:
        input_scale = inputs.float().abs().amax().clamp(min=TINY) / largest
        scaled = (inputs / input_scale).to(FP8)
        product: Tensor = torch._scaled_mm(
            scaled, rows.T, scale_a=input_scale, scale_b=weight_scale, out_dtype=inputs.dtype
        )
        return product

    return multiply
