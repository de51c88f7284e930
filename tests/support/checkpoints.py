"""Random checkpoints, saved by `transformers` with a working tokenizer, for tests of every layer of the server.

The weights are drawn so that greedy outputs vary and some of them end. The default initialisation repeats one token for
ever, and agreement with another implementation would then prove nothing.
"""

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from transformers import (
    M2M100Config,
    M2M100ForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    PreTrainedConfig,
    PreTrainedModel,
)

from loadtests.bench.source_lines import read_sources

BUNDLED = Path(__file__).parents[2] / "model" / "bundled"
M2M100_LANGUAGES = 100
M2M100_UNUSED = 8
MARIAN_SOURCE, MARIAN_TARGET = "en", "de"
EOS_GAIN = 1.8
LEARNED_POSITIONS = ("bart", "mbart")


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a random checkpoint. `num_pieces` bounds the SentencePiece vocabulary of each side."""

    d_model: int = 32
    encoder_layers: int = 2
    decoder_layers: int = 2
    encoder_heads: int = 4
    decoder_heads: int = 4
    encoder_ffn: int = 64
    decoder_ffn: int = 64
    num_pieces: int = 300
    max_positions: int = 64
    activation: str = "relu"
    scale_embedding: bool = True
    tied: bool = True
    shared: bool = True
    """Marian only: one vocabulary and one embedding table for both sides."""
    head_dim: int = 10
    """T5 only, like the fields below."""
    gated: bool = False
    num_buckets: int = 8
    max_distance: int = 20
    norm_eps: float = 1e-6


def bart_sizes(shape: Shape) -> dict[str, Any]:
    """The sizes under the names of BART's configuration, which other families share."""
    return {
        "max_position_embeddings": shape.max_positions,
        "d_model": shape.d_model,
        "encoder_layers": shape.encoder_layers,
        "decoder_layers": shape.decoder_layers,
        "encoder_attention_heads": shape.encoder_heads,
        "decoder_attention_heads": shape.decoder_heads,
        "encoder_ffn_dim": shape.encoder_ffn,
        "decoder_ffn_dim": shape.decoder_ffn,
        "activation_function": shape.activation,
        "scale_embedding": shape.scale_embedding,
        "tie_word_embeddings": shape.tied,
    }


@cache
def train_pieces(languages: tuple[str, ...], num_pieces: int) -> bytes:
    """A SentencePiece model trained on the committed sources of these languages; rare characters are unknown to it."""
    texts = [source.text for source in read_sources() if source.source_lang in languages]
    model = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        vocab_size=num_pieces,
        hard_vocab_limit=False,
        character_coverage=0.98,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def pieces_of(model: bytes) -> list[str]:
    """The pieces without the three control pieces, whose place depends on the layout of the vocabulary."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [processor.id_to_piece(index) for index in range(3, processor.get_piece_size())]


def random_m2m100(
    directory: Path, *, seed: int, shape: Shape | None = None, languages: tuple[str, ...] | None = ("en", "de", "fr")
) -> Path:
    """Save a random M2M-100 checkpoint in `directory`, which is created if necessary, and return the directory."""
    shape = shape or Shape()
    directory.mkdir(parents=True, exist_ok=True)
    model = train_pieces(("en", "de", "fr", "es"), shape.num_pieces)
    vocab = ["<s>", "<pad>", "</s>", "<unk>", *pieces_of(model)]
    (directory / "sentencepiece.bpe.model").write_bytes(model)
    _write_json(directory / "vocab.json", {piece: index for index, piece in enumerate(vocab)})
    shutil.copy(BUNDLED / "tokenizer_config.json", directory)
    config = M2M100Config(
        vocab_size=len(vocab) + M2M100_LANGUAGES + M2M100_UNUSED,
        **bart_sizes(shape),
    )
    save(
        M2M100ForConditionalGeneration(config),
        directory,
        seed=seed,
        max_length=shape.max_positions,
        languages=languages,
    )
    return directory


def random_marian(
    directory: Path,
    *,
    seed: int,
    shape: Shape | None = None,
    source_lang: str = MARIAN_SOURCE,
    target_lang: str = MARIAN_TARGET,
    language_tokens: tuple[str, ...] = (),
) -> Path:
    """Save a random OPUS-MT checkpoint in `directory`, which is created if necessary, and return the directory.

    `language_tokens` such as `>>fra<<` are added to the source vocabulary, as in checkpoints with many targets.
    """
    shape = replace(shape or Shape(), activation=shape.activation if shape else "silu")
    directory.mkdir(parents=True, exist_ok=True)
    source_model, target_model = (train_pieces((lang,), shape.num_pieces) for lang in (source_lang, target_lang))
    (directory / "source.spm").write_bytes(source_model)
    (directory / "target.spm").write_bytes(target_model)
    source_pieces, target_pieces = pieces_of(source_model), pieces_of(target_model)
    if shape.shared:  # the padding token is last, as in published checkpoints
        joint = dict.fromkeys(["</s>", "<unk>", *language_tokens, *source_pieces, *target_pieces, "<pad>"])
        source_vocab = target_vocab = list(joint)
    else:  # both sides share the id of the padding token
        source_vocab = ["</s>", "<unk>", "<pad>", *language_tokens, *source_pieces]
        target_vocab = ["</s>", "<unk>", "<pad>", *target_pieces]
        _write_json(directory / "target_vocab.json", {piece: index for index, piece in enumerate(target_vocab)})
    _write_json(directory / "vocab.json", {piece: index for index, piece in enumerate(source_vocab)})
    _write_json(
        directory / "tokenizer_config.json",
        {
            "source_lang": source_lang,
            "target_lang": target_lang,
            "separate_vocabs": not shape.shared,
            "model_max_length": shape.max_positions,
            "tokenizer_class": "MarianTokenizer",
        },
    )
    pad_token_id = source_vocab.index("<pad>")
    config = MarianConfig(
        vocab_size=len(source_vocab),
        decoder_vocab_size=len(target_vocab),
        share_encoder_decoder_embeddings=shape.shared,
        **bart_sizes(shape),
        pad_token_id=pad_token_id,
        decoder_start_token_id=pad_token_id,
        eos_token_id=0,
        forced_eos_token_id=0,
    )
    model = MarianMTModel(config)
    model.generation_config.bad_words_ids = [[pad_token_id]]
    save(model, directory, seed=seed, max_length=shape.max_positions)
    return directory


def gaussian(seed: int) -> Callable[[torch.Size], torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda shape: torch.randn(shape, generator=generator)


def enliven(model: PreTrainedModel, draw: Callable[[torch.Size], torch.Tensor]) -> None:
    """Redraw all weights so that greedy outputs vary, and some end because of the end token's wider row.

    `draw` returns numbers of mean 0 and variance 1. Sharp attention over wide embeddings makes every step depend on the
    tokens so far. Norm weights of either sign keep a token's embedding, which passes through the residual path, from
    predicting that token again.
    """
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            noise = draw(tensor.shape)
            if "embed_positions" in name and model.config.model_type not in LEARNED_POSITIONS:
                continue
            if "norm" in name and name.endswith("weight"):
                tensor.copy_(noise.sign() + 0.1 * noise)
                continue
            tensor.copy_(_gain(name, tensor, model.config) * noise)
            if name.endswith(("shared.weight", "embed_tokens.weight", "lm_head.weight")):
                tensor[model.config.eos_token_id] *= EOS_GAIN
                tensor[model.config.pad_token_id] = 0.0  # as in trained checkpoints: never the best choice


def _gain(name: str, tensor: torch.Tensor, config: PreTrainedConfig) -> float:
    """The gain of a tensor. T5 does not divide scores by the square root of its head size, so Q and K include it."""
    if "relative_attention_bias" in name or "embed_positions" in name:
        return 1.0
    if name.endswith("bias"):
        return 0.1
    fan_in = tensor.shape[-1] ** 0.5
    if name.endswith(("Attention.q.weight", "Attention.k.weight")):
        return 2.0 / config.d_kv**0.25 / fan_in
    if "q_proj" in name or "k_proj" in name:
        return 2.0 / fan_in
    if "layers." in name or "block." in name:
        return (1.5 if ".fc" in name or "DenseReluDense" in name else 1.0) / fan_in
    return 2.0 / fan_in


def save(
    model: PreTrainedModel, directory: Path, *, seed: int, max_length: int, languages: Iterable[str] | None = None
) -> None:
    """Save model and tokenizer; `languages` are listed in the configuration."""
    if languages is not None:
        model.config.languages = list(languages)
    enliven(model, gaussian(seed))
    model.generation_config.max_length = max_length
    model.save_pretrained(directory)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
