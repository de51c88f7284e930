"""Plain offline translation: one sentence, no cache, all of every hypothesis computed anew for each token.

It is the oracle that cached and mixed batches are tested against. The search is the same, with one sequence in it.
"""

from collections.abc import Sequence

import torch

from model.checkpoint.config import Checkpoint
from model.search.search import Search
from model.search.types import Hypothesis, SearchRequest, Token
from model.transformer.transformer import Transformer


def translate(
    transformer: Transformer,
    checkpoint: Checkpoint,
    source_ids: Sequence[int],
    decoder_prompt: Sequence[int],
    *,
    max_new_tokens: int,
) -> Hypothesis:
    """Greedy, without the repetition guard."""
    request = SearchRequest(0, tuple(decoder_prompt), max_new_tokens, repetition_guard=False)
    _, (best,) = translate_request(transformer, checkpoint, source_ids, request)
    return best


@torch.inference_mode()
def translate_request(
    transformer: Transformer, checkpoint: Checkpoint, source_ids: Sequence[int], request: SearchRequest
) -> tuple[list[list[Token]], tuple[Hypothesis, ...]]:
    """The tokens that became certain at each step, and the hypotheses, best first; alignments are left out."""
    device = transformer.device
    num_rows = request.beam_size
    search = Search(
        checkpoint,
        max_rows=num_rows,
        max_target_tokens=len(request.decoder_prompt) + request.max_new_tokens,
        device=device,
    )
    search.join(request, range(num_rows))
    source_lengths = torch.tensor([len(source_ids)], device=device)
    encoder_hidden_states = transformer.encode(torch.tensor([source_ids], device=device), source_lengths)
    encoder_hidden_states = encoder_hidden_states.expand(num_rows, -1, -1)
    decoder_input_ids = torch.tensor([request.decoder_prompt] * num_rows, device=device)
    certain: list[list[Token]] = []
    while True:
        states = transformer.decode_full(decoder_input_ids, encoder_hidden_states, source_lengths.expand(num_rows))
        step = search.step(transformer.project(states[:, -1]))
        (progress,) = step.progress
        certain.append(progress.tokens)
        if progress.hypotheses:
            return certain, progress.hypotheses
        for copy in step.copies:
            decoder_input_ids[copy.target] = decoder_input_ids[copy.source]
        decoder_input_ids = torch.cat([decoder_input_ids, step.next_token_ids[:, None].to(device)], dim=1)
