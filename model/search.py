"""Choosing the next token of every row at once, as operations on logits [B, N] without a loop over rows.

Nothing here copies to the host: that is one copy a step, and the caller's.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.config import Checkpoint

_BLOCK = 128


@dataclass(frozen=True, slots=True)
class LogitsRules:
    """The rules of one checkpoint, on the device of the logits."""

    suppressed_token_ids: Tensor
    """[K] int64: never chosen."""
    forced_eos_token_id: int | None
    """Taken by a row in its last allowed place."""

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, *, device: torch.device) -> "LogitsRules":
        generation = checkpoint.generation
        suppressed = torch.tensor(generation.suppressed_token_ids, dtype=torch.int64, device=device)
        return cls(suppressed_token_ids=suppressed, forced_eos_token_id=generation.forced_eos_token_id)


def choose_greedy(logits: Tensor, rules: LogitsRules, *, is_last: Tensor) -> tuple[Tensor, Tensor]:
    """From logits [B, N]: token_ids [B] int64, logprobs [B] float32; suppressed logits are overwritten.

    `is_last` [B] bool marks the rows in their last allowed place. The log-probability is the model's own, softmax(Z'W)
    over all N tokens, whatever the rules forbid or force.
    """
    logprobs = torch.log_softmax(logits, dim=-1, dtype=torch.float32)
    token_ids = first_argmax(logits.index_fill_(1, rules.suppressed_token_ids, -torch.inf))
    if rules.forced_eos_token_id is not None:
        token_ids = token_ids.masked_fill(is_last, rules.forced_eos_token_id)
    return token_ids, logprobs.gather(1, token_ids[:, None])[:, 0]


def first_argmax(logits: Tensor) -> Tensor:
    """[B, N] -> [B] int64: the first of each row's largest.

    The largest of each block, then the first block that has the row's largest, then its place there: on CPU a
    reduction to values is about ten times as fast as one to indices, which is left with N/128 + 128 columns.
    """
    num_columns = logits.shape[1]
    whole = num_columns - num_columns % _BLOCK
    maxima = logits[:, :whole].reshape(len(logits), whole // _BLOCK, _BLOCK).amax(dim=2)
    if whole < num_columns:
        maxima = torch.cat([maxima, logits[:, whole:].amax(dim=1, keepdim=True)], dim=1)
    columns: Tensor = maxima.argmax(dim=1, keepdim=True) * _BLOCK + torch.arange(_BLOCK, device=logits.device)
    columns.clamp_(max=num_columns - 1)  # the last block repeats the last column, and its first place wins
    places = logits.gather(1, columns).argmax(dim=1, keepdim=True)
    return columns.gather(1, places)[:, 0]
