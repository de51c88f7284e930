"""Random checkpoints on which beams compete and targets end early, late or never."""

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForSeq2SeqLM

from tests.support.checkpoints import Shape, random_m2m100, random_marian
from tests.support.pairs import Pair, load_pair

SOFTNESS = 0.6
END_GAIN = 1.2
"""Added to the end token's gain in the random checkpoints."""
# Seeds that give targets of many lengths.
BUILDS: dict[str, tuple[Callable[..., Path], int, Shape]] = {
    "m2m100": (random_m2m100, 20, Shape()),
    "m2m100-odd": (
        random_m2m100,
        21,
        Shape(d_model=21, encoder_heads=3, decoder_heads=7, encoder_ffn=50, decoder_ffn=34),
    ),
    "m2m100-small": (random_m2m100, 21, Shape(encoder_layers=3, decoder_layers=1, num_pieces=211, tied=False)),
    "marian": (random_marian, 12, Shape()),
    "marian-separate": (random_marian, 6, Shape(shared=False, num_pieces=250)),
    "marian-deep": (random_marian, 21, Shape(d_model=28, encoder_layers=1, decoder_layers=3, decoder_heads=2)),
}


def lively_pair(name: str, directory: Path) -> Pair:
    """Flatten the distributions of a random checkpoint, and raise its end token."""
    build, seed, shape = BUILDS[name]
    build(directory, seed=seed, shape=shape)
    model = AutoModelForSeq2SeqLM.from_pretrained(directory, dtype=torch.float32)
    decoder = model.get_decoder()
    with torch.no_grad():
        norm = decoder.layers[-1].final_layer_norm if model.config.model_type == "marian" else decoder.layer_norm
        norm.weight *= SOFTNESS
        norm.bias *= SOFTNESS
        model.get_output_embeddings().weight[model.config.eos_token_id] *= END_GAIN
    model.save_pretrained(directory)
    return load_pair(directory)
