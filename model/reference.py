"""Plain offline translation: one sentence, no batch, no cache, all of the target computed anew for each token.

It is the oracle that faster paths are tested against, so it shares with them the layers and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from model.config import Checkpoint
from model.transformer import Transformer


@dataclass(frozen=True, slots=True)
class ReferenceResult:
    token_ids: tuple[int, ...]
    """What follows the decoder prompt, with the end token when there is one."""
    logprobs: tuple[float, ...]
    """log softmax(Z'W) at each token, before suppression and forcing."""
    finish_reason: Literal["stop", "length"]


def translate(
    transformer: Transformer,
    checkpoint: Checkpoint,
    source_ids: Sequence[int],
    decoder_prompt: Sequence[int],
    *,
    max_new_tokens: int,
) -> ReferenceResult:
    """Greedy. A target of `max_new_tokens` ends for its length, even with the end token forced in the last place."""
    generation = checkpoint.generation
    device = transformer.device
    suppressed = list(generation.suppressed_token_ids)
    token_ids: list[int] = []
    logprobs: list[float] = []
    with torch.inference_mode():
        source_lengths = torch.tensor([len(source_ids)], device=device)
        encoder_hidden_states = transformer.encode(torch.tensor([source_ids], device=device), source_lengths)
        while len(token_ids) < max_new_tokens:
            decoder_input_ids = torch.tensor([[*decoder_prompt, *token_ids]], device=device)
            states = transformer.decode_full(decoder_input_ids, encoder_hidden_states, source_lengths)
            logits = transformer.project(states[0, -1]).float()
            allowed = logits.clone()
            allowed[suppressed] = -torch.inf
            forced = generation.forced_eos_token_id if len(token_ids) == max_new_tokens - 1 else None
            token_ids.append(int(allowed.argmax()) if forced is None else forced)
            logprobs.append(float(logits.log_softmax(dim=-1)[token_ids[-1]]))
            if token_ids[-1] == checkpoint.config.eos_token_id and forced is None:
                return ReferenceResult(tuple(token_ids), tuple(logprobs), "stop")
    return ReferenceResult(tuple(token_ids), tuple(logprobs), "length")
