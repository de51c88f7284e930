"""Random checkpoints of the families in `transformers` with a `tokenizers` backend: BART, mBART, PEGASUS, T5, mT5.

Weights are drawn as in `checkpoints.py`, and tokenizers are trained on the same sources.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import sentencepiece
import tokenizers
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    MBart50Tokenizer,
    MBartConfig,
    MBartForConditionalGeneration,
    MBartTokenizer,
    MT5Config,
    MT5ForConditionalGeneration,
    PegasusConfig,
    PegasusForConditionalGeneration,
    PegasusTokenizer,
    RobertaTokenizer,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

from loadtests.bench.source_lines import read_sources
from tests.support.checkpoints import Shape, bart_sizes, save, train_pieces

PAIR = ("en", "de")
SPARE_ROWS = 5  # embeddings without a piece, as in T5
T5_PREFIXES = {
    f"translation_en_to_{code}": {"prefix": f"translate English to {name}: "}
    for code, name in {"de": "German", "fr": "French", "ro": "Romanian"}.items()
}


def unigram(num_pieces: int) -> list[tuple[str, float]]:
    """Pieces and scores that follow SentencePiece's three special ones."""
    spm = sentencepiece.SentencePieceProcessor(model_proto=train_pieces(("en", "de", "fr", "es"), num_pieces))
    return [(spm.id_to_piece(index), spm.get_score(index)) for index in range(3, spm.get_piece_size())]


def random_bart(
    directory: Path, *, seed: int, shape: Shape | None = None, languages: tuple[str, ...] | None = PAIR
) -> Path:
    shape = shape or Shape()
    trained = tokenizers.Tokenizer(tokenizers.models.BPE())
    trained.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=shape.num_pieces + 300,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    trained.train_from_iterator((source.text for source in read_sources()), trainer)
    learned = json.loads(trained.to_str())["model"]
    vocab = {**learned["vocab"], "<mask>": len(learned["vocab"])}
    tokenizer = RobertaTokenizer(vocab=vocab, merges=[tuple(merge) for merge in learned["merges"]])
    tokenizer.save_pretrained(directory)
    config = BartConfig(vocab_size=len(tokenizer), **bart_sizes(shape))
    save(
        BartForConditionalGeneration(config), directory, seed=seed, max_length=shape.max_positions, languages=languages
    )
    return directory


def random_mbart(
    directory: Path,
    *,
    seed: int,
    shape: Shape | None = None,
    many: bool = True,
    languages: tuple[str, ...] | None = ("en", "de", "fr"),
) -> Path:
    """`many`: mBART-50; otherwise mBART-25."""
    shape = shape or Shape()
    specials = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    if many:  # this class adds its language tokens
        tokenizer = MBart50Tokenizer(vocab=[*specials[:3], *unigram(shape.num_pieces)])
    else:
        from transformers.models.mbart.tokenization_mbart import FAIRSEQ_LANGUAGE_CODES

        codes = [(code, 0.0) for code in [*FAIRSEQ_LANGUAGE_CODES, "<mask>"]]
        tokenizer = MBartTokenizer(vocab=[*specials, *unigram(shape.num_pieces), *codes])
    tokenizer.save_pretrained(directory)
    start = {"decoder_start_token_id": 2} if many else {}
    config = MBartConfig(vocab_size=len(tokenizer), **bart_sizes(shape), **start)
    save(
        MBartForConditionalGeneration(config), directory, seed=seed, max_length=shape.max_positions, languages=languages
    )
    return directory


def random_pegasus(
    directory: Path, *, seed: int, shape: Shape | None = None, languages: tuple[str, ...] | None = PAIR
) -> Path:
    shape = shape or Shape()
    names = ["<pad>", "</s>", "<mask_1>", "<mask_2>", *(f"<unk_{index}>" for index in range(2, 103)), "<unk>"]
    tokenizer = PegasusTokenizer(vocab=[*((name, 0.0) for name in names), *unigram(shape.num_pieces)])
    tokenizer.save_pretrained(directory)
    config = PegasusConfig(vocab_size=len(tokenizer), **bart_sizes(shape))
    save(
        PegasusForConditionalGeneration(config),
        directory,
        seed=seed,
        max_length=shape.max_positions,
        languages=languages,
    )
    return directory


def random_t5(
    directory: Path,
    *,
    seed: int,
    shape: Shape | None = None,
    multilingual: bool = False,
    languages: tuple[str, ...] | None = None,
    tasks: Mapping[str, object] | None = T5_PREFIXES,
) -> Path:
    """`multilingual`: an mT5."""
    shape = shape or Shape()
    specials = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    sentinels = [(f"<extra_id_{index}>", 0.0) for index in reversed(range(100))]
    tokenizer = T5Tokenizer(vocab=[*specials, *unigram(shape.num_pieces), *sentinels])
    tokenizer.save_pretrained(directory)
    config_class, model_class = (
        (MT5Config, MT5ForConditionalGeneration) if multilingual else (T5Config, T5ForConditionalGeneration)
    )
    config = config_class(
        vocab_size=len(tokenizer) + SPARE_ROWS,
        d_model=shape.d_model,
        d_kv=shape.head_dim,
        d_ff=shape.decoder_ffn,
        num_layers=shape.encoder_layers,
        num_decoder_layers=shape.decoder_layers,
        num_heads=shape.decoder_heads,
        relative_attention_num_buckets=shape.num_buckets,
        relative_attention_max_distance=shape.max_distance,
        feed_forward_proj=f"gated-{shape.activation}" if shape.gated else shape.activation,
        layer_norm_epsilon=shape.norm_eps,
        tie_word_embeddings=shape.tied,
        decoder_start_token_id=0,
    )
    config.n_positions = shape.max_positions
    if tasks is not None:
        config.task_specific_params = dict(tasks)
    model = model_class(config)
    if not shape.tied:  # `transformers` 5 builds it tied but loads it untied
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    save(model, directory, seed=seed, max_length=shape.max_positions, languages=languages)
    return directory
