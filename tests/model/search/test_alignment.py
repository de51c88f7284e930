"""Alignments are the model's cross-attention weights, and follow each token into the hypothesis that keeps it."""

import pytest
import torch

from model.decoding.batch import DecodingBatch
from model.search.results import Token
from model.search.spec import DecodeSpec
from tests.support.mixed_batch import add
from tests.support.pairs import Pair, make_spec, prompts_of, random_sources


def streamed(pair: Pair, specs: list[DecodeSpec]) -> list[list[Token]]:
    batch = DecodingBatch(pair.ours, pair.checkpoint, max_rows=20, max_source_tokens=40, max_target_tokens=20)
    add(batch, dict(enumerate(specs)))
    tokens: list[list[Token]] = [[] for _ in specs]
    while batch.num_rows:
        for progress in batch.step():
            tokens[progress.decode_id] += progress.tokens
    return tokens


@pytest.mark.parametrize("beam_size", [1, 3])
def test_alignments_are_the_cross_attentions_of_transformers(pair: Pair, beam_size: int) -> None:
    sources = random_sources(pair, 4, seed=21)
    (prompt,) = prompts_of(pair, 1)
    specs = [
        make_spec(source, prompt, 12, beam_size=beam_size, with_alignment=index != 2)
        for index, source in enumerate(sources)
    ]
    tokens = streamed(pair, specs)
    for index, source in enumerate(sources):
        target = [*prompt, *(token.token_id for token in tokens[index])]
        expected = their_weights(pair, source, target[:-1])[len(prompt) - 1 :]
        for token, weights in zip(tokens[index], expected, strict=True):
            if index == 2:
                assert token.details.alignment == ()
                continue
            torch.testing.assert_close(torch.tensor(token.details.alignment), weights, rtol=0, atol=1e-4)


def their_weights(pair: Pair, source: list[int], decoder_input_ids: list[int]) -> torch.Tensor:
    """The weights of the last layer, averaged over its heads [T, S]; only eager attention returns them."""
    pair.theirs.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            output = pair.theirs(
                input_ids=torch.tensor([source]),
                decoder_input_ids=torch.tensor([decoder_input_ids]),
                output_attentions=True,
            )
    finally:
        pair.theirs.set_attn_implementation("sdpa")
    weights: torch.Tensor = output.cross_attentions[-1][0].mean(dim=0)
    return weights
