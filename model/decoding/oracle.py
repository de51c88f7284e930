"""Plain offline decoding of one spec without a cache: each step recomputes every hypothesis from its start.

Tests compare cached and mixed batches with it. It uses the same search, with a single decode.
"""

import torch

from model.checkpoint.config import Checkpoint
from model.search.results import Hypothesis, Token
from model.search.search import Search
from model.search.spec import DecodeSpec
from model.transformer.transformer import Transformer


@torch.inference_mode()
def decode_alone(
    transformer: Transformer, checkpoint: Checkpoint, spec: DecodeSpec
) -> tuple[list[list[Token]], tuple[Hypothesis, ...]]:
    """The tokens that became certain at each step, and the hypotheses, best first; without alignments."""
    device = transformer.device
    num_rows = spec.beam_size
    search = Search(
        checkpoint,
        max_rows=num_rows,
        max_target_tokens=len(spec.decoder_prompt) + spec.max_new_tokens,
        device=device,
    )
    rows = [search.start(0, spec, range(num_rows))] * num_rows
    source_lengths = torch.tensor([len(spec.source_ids)], device=device)
    encoder_hidden_states = transformer.encode(torch.tensor([spec.source_ids], device=device), source_lengths)
    encoder_hidden_states = encoder_hidden_states.expand(num_rows, -1, -1)
    decoder_input_ids = torch.tensor([spec.decoder_prompt] * num_rows, device=device)
    certain: list[list[Token]] = []
    while True:
        states = transformer.decode_full(decoder_input_ids, encoder_hidden_states, source_lengths.expand(num_rows))
        step = search.step(rows, transformer.project(states[:, -1]))
        (progress,) = step.progress
        certain.append(progress.tokens)
        if progress.hypotheses:
            return certain, progress.hypotheses
        for copy in step.copies:
            decoder_input_ids[copy.target] = decoder_input_ids[copy.source]
        decoder_input_ids = torch.cat([decoder_input_ids, step.next_token_ids[:, None].to(device)], dim=1)
