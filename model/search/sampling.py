"""Drawing tokens: temperature, top-k, nucleus, and noise that depends only on seed, step and token.

A draw from softmax(s) is argmax(s + g) with standard Gumbel noise g, or argmax(exp(s) / e) with exponential noise
e = -log u, which is equivalent (Gumbel 1954; Maddison, Tarlow and Minka, "A* Sampling", NeurIPS 2014). u comes from
SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), whose i-th output is
a hash of seed + i. The stream of a step is seeded with the step-th output of the sequence's seed, and a token uses the
output numbered by its id. A draw therefore depends on no neighbour and no earlier draw.
Shapes: S sampled rows, N vocabulary, W most probable tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.search.spec import Sampling

_GAMMA = 0x9E3779B97F4A7C15
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_UNIFORM_BITS = 52
_NUCLEUS_GUESS = 128


@dataclass(frozen=True, slots=True)
class Draw:
    """The draw of one row. `step` is the index of the token in its sequence."""

    sampling: Sampling
    step: int


def perturb(logits: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Logits [S, N] float32 -> [S, N]; the argmax is the drawn token."""
    scores = warp(logits, [draw.sampling for draw in draws])
    seeds = _column([draw.sampling.seed for draw in draws], torch.int64, logits.device)
    steps = _column([draw.step for draw in draws], torch.int64, logits.device)
    bits = splitmix64(splitmix64(seeds, steps), torch.arange(logits.shape[1], device=logits.device))
    weights = (scores - scores.amax(dim=1, keepdim=True)).exp_()
    return weights.div_(exponential(bits))


def warp(logits: Tensor, samplings: Sequence[Sampling]) -> Tensor:
    """Apply temperature, then top-k, then the nucleus, in the order of `transformers`. Tokens cut off become -inf.

    Tokens with the same logit as the last one kept are kept too.
    """
    scores = logits
    if any(sampling.temperature != 1 for sampling in samplings):
        scores = scores / _column([sampling.temperature for sampling in samplings], scores.dtype, scores.device)
    cut = [index for index, sampling in enumerate(samplings) if 0 < sampling.top_k < scores.shape[1]]
    if cut:
        scores = _cut(scores, cut, _kth_largest(scores[cut], [samplings[index].top_k for index in cut]))
    cut = [index for index, sampling in enumerate(samplings) if sampling.top_p < 1]
    if cut:
        scores = _cut(scores, cut, _nucleus_floor(scores[cut], [samplings[index].top_p for index in cut]))
    return scores


def splitmix64(seeds: Tensor, index: Tensor) -> Tensor:
    """The output number `index` (from 0) of generators with these seeds, as the 64 bits of an int64."""
    z = (index + 1) * signed(_GAMMA) + seeds  # wraps around, by design
    for shift, multiplier in zip((30, 27), _MULTIPLIERS, strict=True):
        z ^= _shift_right(z, shift)
        z *= signed(multiplier)
    return z ^ _shift_right(z, 31)


def exponential(bits: Tensor) -> Tensor:
    """-log u in float32, with u in (0, 1): the upper 52 bits and a half, which a float64 holds exactly."""
    uniform = _shift_right(bits, 64 - _UNIFORM_BITS).to(torch.float64)
    return uniform.add_(0.5).mul_(2.0**-_UNIFORM_BITS).log_().neg_().to(torch.float32)


def signed(value: int) -> int:
    """The low 64 bits of `value`, reinterpreted as an int64."""
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


def _shift_right(z: Tensor, shift: int) -> Tensor:
    """A logical shift; `>>` would extend the sign."""
    return (z >> shift).bitwise_and_((1 << (64 - shift)) - 1)


def _cut(scores: Tensor, rows: list[int], floors: Tensor) -> Tensor:
    """Set scores below the row's floor, `floors` [rows, 1], to -inf."""
    every = torch.full((len(scores), 1), -torch.inf, device=scores.device)
    every[rows] = floors
    return scores.masked_fill(scores < every, -torch.inf)


def _kth_largest(scores: Tensor, ks: list[int]) -> Tensor:
    """[S, N] -> [S, 1]."""
    return scores.topk(max(ks), dim=1).values.gather(1, _column([k - 1 for k in ks], torch.int64, scores.device))


def _nucleus_floor(scores: Tensor, ps: list[float]) -> Tensor:
    """The score [S, 1] of the last token in each nucleus, the most probable tokens with a total probability of p.

    A token stays if the ones before it total less than p; the first one always stays. On CPU the most probable few are
    tried before all are sorted; on CUDA the check whether they suffice would wait for the device.
    """
    p = _column(ps, torch.float32, scores.device)
    normalizer = scores.logsumexp(dim=1, keepdim=True)
    if scores.device.type == "cpu" and scores.shape[1] > _NUCLEUS_GUESS:
        values = scores.topk(_NUCLEUS_GUESS, dim=1).values
        if ((values - normalizer).exp_().sum(dim=1, keepdim=True) >= p).all():
            return _floor(values, normalizer, p)
    return _floor(scores.sort(dim=1, descending=True).values, normalizer, p)


def _floor(values: Tensor, normalizer: Tensor, p: Tensor) -> Tensor:
    """The floor [S, 1] from values [S, W], largest first."""
    probabilities = (values - normalizer).exp_()
    before = probabilities.cumsum(dim=1) - probabilities
    num_kept = (before < p).sum(dim=1, keepdim=True).clamp_(min=1)
    return values.gather(1, num_kept - 1)


def _column(values: Sequence[float], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device)[:, None]
