"""Attention of one token a row over its own length: our kernel beside SDPA with masks and FlexAttention.

Each reads the caches of all layers of a step, one layer after the other, so that little comes from the device's cache.
Shapes: B rows, C tokens of the cache, H heads, d head size.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from loadtests.bench.gpu.report import Part, Table
from loadtests.bench.gpu.setting import Setting
from loadtests.bench.gpu.subjects import Size, sizes
from loadtests.bench.gpu.timing import replayed_seconds
from model.cuda.device import step_kernels
from model.cuda.kernels import TorchKernels

ROWS = (256, 64, 1024)
"""The most likely ones first: FlexAttention is compiled for each."""
CACHE_TOKENS, MAX_LENGTH = 512, 60
BUCKET = 64
"""The width of a view that holds the longest row."""
LARGEST_DIFFERENCE = {torch.float16: 5e-3, torch.float32: 1e-4}

Layer = Callable[[Tensor, Tensor], Tensor]
"""Map q [B, H, d] and kv [B, C, 2, H, d] to [B, H * d]."""


class Variant(NamedTuple):
    name: str
    make: Callable[[], Layer]


Variants = Callable[[Setting, Tensor, int], list[Variant]]
"""For lengths [B] and C."""


def measure(setting: Setting, part: Part) -> None:
    title = f"{type(step_kernels(setting.device)).__name__}: lengths from 1 to {MAX_LENGTH}, all layers of a step"
    head = ["heads", "rows", "variant", "ms a step", "over ours", "largest difference"]
    part.tables.append(Table(title, head, []))
    for variants in (masked_variants, flex_variant):  # the second takes its time to compile
        for num_rows in (4,) if setting.is_tiny else ROWS:
            for size in sizes(is_tiny=setting.is_tiny):
                compare(setting, part, size, num_rows, variants)


@torch.inference_mode()
def compare(setting: Setting, part: Part, size: Size, num_rows: int, variants: Variants) -> None:
    config = size.config
    heads, head_dim = config.decoder_heads, config.decoder_head_dim
    generator = torch.Generator(setting.device).manual_seed(3)
    make = partial(torch.randn, dtype=setting.half, device=setting.device, generator=generator)
    num_tokens = BUCKET if setting.is_tiny else CACHE_TOKENS
    caches = [make(num_rows, num_tokens, 2, heads, head_dim) for _ in range(config.decoder_layers)]
    q = make(num_rows, heads, head_dim)
    lengths = torch.randint(1, MAX_LENGTH + 1, (num_rows,), device=setting.device, generator=generator)
    expected = TorchKernels().cross_attention(q.float(), caches[0].float(), lengths, scale=head_dim**-0.5)
    kernels = step_kernels(setting.device)
    ours = partial(kernels.cross_attention, source_lengths=lengths, scale=head_dim**-0.5)
    our_seconds = 0.0
    for name, make_layer in [Variant("ours", lambda: ours), *variants(setting, lengths, num_tokens)]:
        setting.check_time(5 if name == "ours" else 10)
        with part.attempt(f"{name}, {heads} heads, {num_rows} rows"):
            layer = make_layer()
            difference = float((layer(q, caches[0]).float() - expected).abs().max())
            seconds = replayed_seconds(setting, partial(attend_all, layer, q, caches))
            our_seconds = our_seconds or seconds
            figures = [f"{1000 * seconds:.3f}", f"{seconds / our_seconds:.2f}", f"{difference:.1e}"]
            part.tables[0].body.append([f"{heads} of {head_dim}", f"{num_rows:,}", name, *figures])
            if name == "ours" and variants is masked_variants:
                law = f"{heads} heads, {num_rows:,} rows: our attention is that of float32"
                part.check(law, holds=difference <= LARGEST_DIFFERENCE[setting.half], detail=f"{difference:.1e}")


def attend_all(layer: Layer, q: Tensor, caches: Sequence[Tensor]) -> None:
    for cache in caches:
        layer(q, cache)


def masked_variants(_setting: Setting, lengths: Tensor, num_tokens: int) -> list[Variant]:
    return [
        Variant(f"SDPA, masks over {width}", partial(masked_sdpa, lengths, width))
        for width in sorted({BUCKET, num_tokens})
    ]


def flex_variant(setting: Setting, lengths: Tensor, num_tokens: int) -> list[Variant]:
    return [Variant("FlexAttention, blocks chosen before", partial(flex, setting, lengths, num_tokens))]


def masked_sdpa(lengths: Tensor, width: int) -> Layer:
    mask = (torch.arange(width, device=lengths.device) < lengths[:, None])[:, None, None]

    def attend(q: Tensor, kv: Tensor) -> Tensor:
        k, v = kv[:, :width].transpose(1, 3).unbind(2)
        return F.scaled_dot_product_attention(q[:, :, None], k, v, attn_mask=mask).flatten(1)

    return attend


def flex(setting: Setting, lengths: Tensor, num_tokens: int) -> Layer:
    """Its blocks are chosen once here; a step would have to choose them again."""
    block_mask: BlockMask = create_block_mask(
        lambda row, _head, _query, token: token < lengths[row], len(lengths), None, 1, num_tokens, str(lengths.device)
    )
    # Not compiled on a CPU, where the figures mean nothing.
    function = flex_attention if setting.is_tiny else torch.compile(flex_attention, dynamic=False)

    def attend(q: Tensor, kv: Tensor) -> Tensor:
        k, v = kv.transpose(1, 3).unbind(2)
        output: Tensor = function(q[:, :, None], k, v, block_mask=block_mask)
        return output.flatten(1)

    return attend
