"""Tables of sinusoidal positions [P, D], each computed in the precision of the implementation that trained with it."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from model.config import ModelConfig, Positions


def positions_table(config: ModelConfig, *, num_positions: int | None = None) -> Tensor:
    """Float32 [P, D]; row p belongs to the p-th token of a sequence, the family's offset is already in."""
    rows = config.max_positions if num_positions is None else num_positions
    return _TABLES[config.positions](rows, config.position_offset, config.d_model)


def _sinusoidal(rows: int, offset: int, d_model: int) -> Tensor:
    """Section 3.5 of "Attention Is All You Need", sines before cosines instead of taking turns; in float64."""
    columns = torch.arange(d_model, dtype=torch.float64)
    wavelengths = 10000.0 ** (2 * (columns // 2) / d_model)
    angles = torch.arange(offset, offset + rows, dtype=torch.float64)[:, None] / wavelengths
    return torch.cat([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=1).float()


def _sinusoidal_t2t(rows: int, offset: int, d_model: int) -> Tensor:
    """As in tensor2tensor and fairseq: wavelengths from 1 to 10000 inclusive, zero in a last odd column; in float32."""
    half = d_model // 2
    frequencies = torch.exp(torch.arange(half).float() * -(math.log(10000) / (half - 1)))
    angles = torch.arange(offset, offset + rows).float()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos(), torch.zeros(rows, d_model % 2)], dim=1)


_TABLES: Mapping[Positions, Callable[[int, int, int], Tensor]] = MappingProxyType(
    {"sinusoidal": _sinusoidal, "sinusoidal_t2t": _sinusoidal_t2t}
)
