"""On the same weights, greedy tokens equal those of `transformers`' `generate`, and logits agree to 1e-4.

Equality has two limits, which these sources and weights do not touch. Where the two largest logits are closer than
float32 rounding, which differs with the kernels used, either choice is right. And after a padding token in the
target, which no trained checkpoint says, `transformers`' M2M-100 counts positions in one way with a cache and in
another without.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import M2M100Tokenizer

from model.decoding.oracle import decode_alone
from tests.support.checkpoint_families import random_bart, random_mbart, random_pegasus, random_t5
from tests.support.checkpoints import Shape, random_m2m100, random_marian
from tests.support.encoded_sources import encode_sources
from tests.support.pairs import (
    Pair,
    greedy_ours,
    greedy_theirs,
    load_pair,
    make_spec,
    padded,
    prompts_of,
    random_sources,
)

MAX_NEW = 36
SOURCES_PER_SHAPE = 50
ODD_SHAPES = {
    "default": Shape(),
    "untied": Shape(tied=False, activation="gelu"),
    "odd_head_sizes": Shape(d_model=21, encoder_heads=3, decoder_heads=7, encoder_ffn=50, decoder_ffn=34),
    "unscaled": Shape(scale_embedding=False, encoder_layers=3, decoder_layers=1, num_pieces=211),
    "swish_deep_decoder": Shape(
        d_model=28, encoder_layers=1, decoder_layers=3, decoder_heads=2, activation="swish", num_pieces=187
    ),
    "untied_unscaled": Shape(d_model=48, encoder_heads=8, tied=False, scale_embedding=False, activation="gelu_new"),
}
MARIAN_ONLY = {
    "separate": Shape(shared=False, num_pieces=250),
    "separate_untied": Shape(d_model=20, encoder_heads=5, shared=False, tied=False, activation="relu"),
}
T5_SHAPES = {
    "default": Shape(),
    "untied_gated": Shape(tied=False, gated=True, activation="gelu"),
    "odd_head_sizes": Shape(d_model=21, decoder_heads=3, head_dim=9, decoder_ffn=34, num_buckets=7, max_distance=11),
    "deep_encoder": Shape(
        encoder_layers=3, decoder_layers=1, gated=True, activation="silu", head_dim=4, num_pieces=211
    ),
    "deep_decoder": Shape(
        d_model=28, encoder_layers=1, decoder_layers=3, decoder_heads=2, num_buckets=32, max_distance=128, tied=False
    ),
}
FAMILIES: dict[str, tuple[Callable[..., Path], dict[str, Any]]] = {
    "bart": (random_bart, ODD_SHAPES),
    "m2m_100": (random_m2m100, ODD_SHAPES),
    "marian": (random_marian, ODD_SHAPES | MARIAN_ONLY),
    "mbart": (random_mbart, ODD_SHAPES),
    "mt5": (partial(random_t5, multilingual=True), T5_SHAPES),
    "pegasus": (random_pegasus, ODD_SHAPES),
    "t5": (random_t5, T5_SHAPES),
}
SEEDS = {"bart": [8] * len(ODD_SHAPES), "mbart": [8] * len(ODD_SHAPES)}  # of weights whose outputs vary and end


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    build, shapes = FAMILIES[request.param]
    directory: Path = tmp_path_factory.mktemp(request.param)
    seeds = SEEDS.get(request.param, range(len(shapes)))
    return {
        name: load_pair(build(directory / name, seed=seed, shape=shape))
        for seed, (name, shape) in zip(seeds, shapes.items(), strict=True)
    }


def test_greedy_tokens_equal_generate_on_random_checkpoints_of_odd_shapes(family: dict[str, Pair]) -> None:
    outputs: list[tuple[int, ...]] = []
    for seed, (name, pair) in enumerate(family.items()):
        sources = random_sources(pair, SOURCES_PER_SHAPE, seed=seed)
        prompts = prompts_of(pair, len(sources))
        theirs = greedy_theirs(pair, sources, prompts, MAX_NEW)
        assert greedy_ours(pair, sources, prompts, MAX_NEW) == theirs, name
        outputs += [tuple(output) for output in theirs]
    assert_varied(outputs)


def assert_varied(outputs: list[tuple[int, ...]]) -> None:
    """Agreement proves something only where outputs differ from each other, change within, and end for both reasons."""
    assert len(outputs) >= 200
    assert len(set(outputs)) > 0.8 * len(outputs)
    assert len({token_id for output in outputs for token_id in output}) > 200
    assert sum(len(set(output)) for output in outputs) / len(outputs) > 6
    ended = sum(len(output) < MAX_NEW for output in outputs)
    assert 0.1 * len(outputs) < ended < 0.9 * len(outputs)


def test_greedy_tokens_equal_generate_on_the_bundled_checkpoint(
    bundled: Pair, bundled_tokenizer: M2M100Tokenizer
) -> None:
    sources, prompts = encode_sources(bundled_tokenizer)
    theirs = greedy_theirs(bundled, sources, prompts, 64)
    assert greedy_ours(bundled, sources, prompts, 64) == theirs
    assert len(sources) >= 200
    assert len({tuple(output) for output in theirs}) > 0.9 * len(sources)


def test_reference_tokens_equal_generate_on_the_bundled_checkpoint(
    bundled: Pair, bundled_tokenizer: M2M100Tokenizer
) -> None:
    sources, prompts = (items[::8] for items in encode_sources(bundled_tokenizer))
    targets = []
    for source, prompt in zip(sources, prompts, strict=True):
        spec = make_spec(source, prompt, 40, repetition_guard=False)
        _, (best,) = decode_alone(bundled.ours, bundled.checkpoint, spec)
        targets.append(list(best.token_ids))
    assert targets == greedy_theirs(bundled, sources, prompts, 40)


def test_full_forward_logits_agree_with_transformers(family: dict[str, Pair]) -> None:
    for name, pair in family.items():
        input_ids, lengths = padded(random_sources(pair, 8, seed=5), pair)
        generator = torch.Generator().manual_seed(6)
        low, high = 3, pair.checkpoint.config.decoder_vocab_size - 1
        decoder_input_ids = torch.randint(low, high, (8, 23), generator=generator)
        ours, theirs = both_logits(pair, input_ids, lengths, decoder_input_ids)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4, msg=partial("{}: {}".format, name))


def test_full_forward_logits_agree_with_transformers_on_the_bundled_checkpoint(
    bundled: Pair, bundled_tokenizer: M2M100Tokenizer
) -> None:
    sources, _ = encode_sources(bundled_tokenizer)
    input_ids, lengths = padded(sources[::20], bundled)
    decoder_input_ids = torch.tensor([[2, 16_030, *range(100, 140)]] * len(lengths))
    ours, theirs = both_logits(bundled, input_ids, lengths, decoder_input_ids)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def both_logits(
    pair: Pair, input_ids: torch.Tensor, lengths: torch.Tensor, decoder_input_ids: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    mask = (torch.arange(input_ids.shape[1]) < lengths[:, None]).long()
    with torch.inference_mode():
        ours = pair.ours(input_ids, lengths, decoder_input_ids)
        theirs = pair.theirs(input_ids=input_ids, attention_mask=mask, decoder_input_ids=decoder_input_ids).logits
    return ours, theirs
