"""The int8 results for 200 sentences, equal on every CPU: a file in `tests/data/golden` for each checkpoint.

A line holds a sentence: hashes of its encoder output, its greedy hypothesis and its best beams, including the bits of
their scores, and then the greedy tokens. After a change of the kernels' arithmetic, which raises `ARITHMETIC`, run:

    .venv/bin/python -m tests.support.golden

Weights and sources are drawn as integers by numpy's PCG64, whose stream is the same everywhere; torch's is not.
"""

import struct
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from transformers import MarianConfig, MarianMTModel, PreTrainedModel, T5Config, T5ForConditionalGeneration

from loadtests.bench.source_lines import read_sources
from model.checkpoint.config import Checkpoint, read_checkpoint
from model.checkpoint.loading import load_transformer
from model.decoding.batch import DecodingBatch
from model.decoding.generate import generate
from model.search.results import Hypothesis
from model.search.spec import DecodeSpec
from model.tokenizers.loading import load_tokenizer
from tests.support.checkpoints import BUNDLED, enliven

DIRECTORY = Path(__file__).parents[1] / "data" / "golden"
NUM_SENTENCES = 200
MAX_NEW_TOKENS = 16
NUM_BEAMS = 4
NAMES = ("bundled", "marian", "t5")


def integers(seed: int) -> Callable[[torch.Size], torch.Tensor]:
    """Uniformly distributed weights of variance 1."""
    generator = np.random.Generator(np.random.PCG64(seed))

    def draw(shape: torch.Size) -> torch.Tensor:
        return torch.from_numpy(generator.integers(-32768, 32768, size=tuple(shape)) * (3**0.5 / 32768)).float()

    return draw


def _t5() -> PreTrainedModel:
    config = T5Config(
        vocab_size=203,
        d_model=33,
        d_kv=9,
        d_ff=50,
        num_layers=2,
        num_decoder_layers=3,
        num_heads=3,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=20,
        feed_forward_proj="gated-gelu",
        decoder_start_token_id=0,
    )
    return T5ForConditionalGeneration(config)


def _marian() -> PreTrainedModel:
    config = MarianConfig(
        vocab_size=311,
        max_position_embeddings=64,
        d_model=48,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=3,
        encoder_ffn_dim=70,
        decoder_ffn_dim=70,
        activation_function="swish",
        scale_embedding=True,
        pad_token_id=310,
        decoder_start_token_id=310,
        eos_token_id=0,
        forced_eos_token_id=None,
    )
    model = MarianMTModel(config)
    # As in published OPUS-MT checkpoints.
    rules = {"bad_words_ids": [[config.pad_token_id]], "forced_eos_token_id": 0, "renormalize_logits": True}
    model.generation_config.update(**rules)
    return model


def save_checkpoint(name: str, directory: Path) -> Path:
    """Save the checkpoint of this name in `directory` and return its path; the bundled one exists already."""
    if name == "bundled":
        return BUNDLED
    model = {"marian": _marian, "t5": _t5}[name]()
    enliven(model, integers(seed=len(name)))
    model.generation_config.max_length = 64
    model.save_pretrained(directory)
    return directory


def golden_lines(directory: Path, name: str, *, num_sentences: int = NUM_SENTENCES) -> list[str]:
    """The lines of the first sentences, computed by the kernels of this process."""
    checkpoint = read_checkpoint(directory, name=name)
    transformer = load_transformer(checkpoint, compute_type="int8", device=torch.device("cpu"))
    sources = _sources(checkpoint)[:num_sentences]
    longest = max(len(source) for source, _ in sources)
    batch = DecodingBatch(transformer, checkpoint, max_rows=1, max_source_tokens=longest, max_target_tokens=32)
    encoded = batch.fetch_encoder_outputs(batch.encode([source for source, _ in sources]).hidden_states)()
    outputs = [
        generate(
            transformer,
            checkpoint,
            [
                DecodeSpec(name, source, prompt, MAX_NEW_TOKENS, beam_size=beam_size, num_hypotheses=beam_size)
                for source, prompt in sources
            ],
        )
        for beam_size in (1, NUM_BEAMS)
    ]
    return [
        " ".join(
            [
                _hash(output),
                _hash(_bits(greedy)),
                _hash(_bits(beams)),
                *map(str, greedy[0].token_ids),
            ]
        )
        for output, greedy, beams in zip(encoded, *outputs, strict=True)
    ]


def _sources(checkpoint: Checkpoint) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Source ids and decoder prompts."""
    if checkpoint.directory == BUNDLED:
        tokenizer = load_tokenizer(checkpoint)
        return [
            (
                tuple(tokenizer.encode_source(line.text, source_lang=line.source_lang, target_lang=line.target_lang)),
                tuple(tokenizer.decoder_prompt(line.target_lang)),
            )
            for line in read_sources()[:NUM_SENTENCES]
        ]
    config = checkpoint.config
    generator = np.random.Generator(np.random.PCG64(NUM_SENTENCES))
    lengths = generator.integers(1, 30, size=NUM_SENTENCES).tolist()
    sources = [generator.integers(2, config.vocab_size - 1, size=length).tolist() for length in lengths]
    return [((*source, config.eos_token_id), (config.decoder_start_token_id,)) for source in sources]


def _bits(hypotheses: Sequence[Hypothesis]) -> bytes:
    """Scores are hashed in float32, because math libraries may round the power in them differently in float64."""
    return b"".join(
        struct.pack(f"<{2 * len(each.token_ids) + 1}f", *each.token_ids, *each.logprobs, each.score)
        for each in hypotheses
    )


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()[:10]


def main() -> None:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        with TemporaryDirectory() as scratch:
            lines = golden_lines(save_checkpoint(name, Path(scratch)), name)
        (DIRECTORY / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
