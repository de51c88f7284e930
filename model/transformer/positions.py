"""Position encodings: sinusoids or learned vectors added to embeddings, or a bias on self-attention scores.

Tables have the same bits on every machine: they are computed by additions and multiplications and in decimal
arithmetic, since math libraries round functions differently on different processors.
Shapes: B rows, T tokens, C columns, H heads, P positions, D model size.
"""

import math
from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from types import MappingProxyType

import torch
from torch import Tensor, nn

from model.checkpoint.config import ModelConfig, Positions, RelativePositions
from model.transformer.sines import cos, sin


class SinusoidalPositions(nn.Module):
    """Row p of the table belongs to the p-th token of a sequence; the family's offset is included."""

    table: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.register_buffer("table", positions_table(config), persistent=False)

    @property
    def rows(self) -> Tensor | None:
        """[P, D]: the row of each position."""
        return self.table

    def forward(self, embeddings: Tensor, positions: Tensor | slice) -> Tensor:
        """Add the rows of `positions` [(B,) T] to embeddings [B, T, D], in place."""
        return embeddings.add_(self.table[positions])


class LearnedPositions(nn.Module):
    """A learned table. Rows before the offset are neither trained nor read."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.offset = config.position_offset
        self.table = nn.Parameter(torch.empty(config.max_positions + self.offset, config.d_model, device="meta"))

    @property
    def rows(self) -> Tensor | None:
        return self.table[self.offset :]

    def forward(self, embeddings: Tensor, positions: Tensor | slice) -> Tensor:
        """See `SinusoidalPositions`."""
        return embeddings.add_(self.table[self.offset :][positions])


class NoPositions(nn.Module):
    """For families with a relative bias."""

    rows: Tensor | None = None

    def forward(self, embeddings: Tensor, _positions: Tensor | slice) -> Tensor:
        return embeddings


TokenPositions = SinusoidalPositions | LearnedPositions | NoPositions


def source_and_target_positions(config: ModelConfig) -> tuple[TokenPositions, TokenPositions]:
    """The positions of encoder and decoder. Only learned ones differ; others are shared."""
    if config.positions == "learned":
        return LearnedPositions(config), LearnedPositions(config)
    shared: TokenPositions = NoPositions() if config.positions == "relative" else SinusoidalPositions(config)
    return shared, shared


class RelativeBias(nn.Module):
    """A learned bias for each head and bucket of distances, shared by all layers of a stack."""

    buckets: Tensor

    def __init__(self, relative: RelativePositions, *, num_heads: int, bidirectional: bool) -> None:
        super().__init__()
        self.max_distance = relative.max_distance
        self.bias = nn.Parameter(torch.empty(relative.num_buckets, num_heads, device="meta"))
        buckets = distance_buckets(relative, bidirectional=bidirectional)
        self.register_buffer("buckets", buckets, persistent=False)

    def forward(self, token_positions: Tensor, num_tokens: int) -> Tensor:
        """token_positions [B, T] -> the bias [B, H, T, C] on columns 0..C-1; C is `num_tokens`."""
        columns = torch.arange(num_tokens, device=token_positions.device)
        distances = (columns - token_positions[..., None]).clamp_(-self.max_distance, self.max_distance)
        bias = self.bias.t()[:, self.buckets[distances + self.max_distance]]  # [H, B, T, C]
        return bias.transpose(0, 1)

    def farthest_first(self, num_positions: int) -> Tensor:
        """[H, P]: the bias of the last of P tokens on all tokens. The last p + 1 columns are the bias of position p."""
        last = torch.full((1, 1), num_positions - 1, device=self.bias.device)
        bias: Tensor = self(last, num_positions)
        return bias[0, :, 0].contiguous()

    def by_distance(self, num_positions: int) -> Tensor:
        """[H, P]: the bias of a token on itself, on the one before it, and so on."""
        return self.farthest_first(num_positions).flip(1)


def distance_buckets(relative: RelativePositions, *, bidirectional: bool) -> Tensor:
    """The buckets, int64, of the distances -max_distance to max_distance (column minus token).

    The first half of the buckets of a direction hold one distance each, the rest ranges of growing size. In a
    one-directional bias the whole future is in bucket 0. Computed in float32, as T5 was trained.
    """
    distances = torch.arange(-relative.max_distance, relative.max_distance + 1)
    num_buckets = relative.num_buckets // 2 if bidirectional else relative.num_buckets
    lengths = distances.abs() if bidirectional else (-distances).clamp(min=0)
    num_exact = num_buckets // 2
    quotients = (lengths.clamp(min=1).float() / num_exact).tolist()
    logarithms = torch.tensor([math.log(each) for each in quotients])  # rounded from float64, which leaves no doubt
    share = logarithms / math.log(relative.max_distance / num_exact)
    in_ranges = (num_exact + (share * (num_buckets - num_exact)).long()).clamp(max=num_buckets - 1)
    buckets = torch.where(lengths < num_exact, lengths, in_ranges)
    return buckets + (distances > 0) * num_buckets if bidirectional else buckets


def positions_table(config: ModelConfig, *, num_positions: int | None = None) -> Tensor:
    """Sinusoids, float32 [P, D], in the precision of the implementation that trained the family."""
    rows = config.max_positions if num_positions is None else num_positions
    return _TABLES[config.positions](rows, config.position_offset, config.d_model)


def _sinusoidal(rows: int, offset: int, d_model: int) -> Tensor:
    """Section 3.5 of "Attention Is All You Need", but with all sines before the cosines; in float64."""
    exponents = [2 * (column // 2) / d_model for column in range(d_model)]
    wavelengths = torch.tensor([float(_DECIMAL.power(10000, Decimal(each))) for each in exponents], dtype=torch.float64)
    angles = torch.arange(offset, offset + rows, dtype=torch.float64)[:, None] / wavelengths
    return torch.cat([sin(angles[:, 0::2]), cos(angles[:, 1::2])], dim=1).float()


def _sinusoidal_t2t(rows: int, offset: int, d_model: int) -> Tensor:
    """As in tensor2tensor and fairseq: wavelengths from 1 to 10000 inclusive; an odd last column is 0; in float32."""
    half = d_model // 2
    exponents = (torch.arange(half).float() * -(math.log(10000) / (half - 1))).tolist()
    frequencies = torch.tensor([float(_DECIMAL.exp(Decimal(each))) for each in exponents])
    angles = (torch.arange(offset, offset + rows).float()[:, None] * frequencies).double()
    return torch.cat([sin(angles).float(), cos(angles).float(), torch.zeros(rows, d_model % 2)], dim=1)


_DECIMAL = Context(prec=30)
_TABLES: Mapping[Positions, Callable[[int, int, int], Tensor]] = MappingProxyType(
    {"sinusoidal": _sinusoidal, "sinusoidal_t2t": _sinusoidal_t2t}
)
