"""Checkpoints with random weights, small or of published sizes, written where a benchmark needs them."""

import shutil
from pathlib import Path

import torch
from transformers import (
    M2M100Config,
    M2M100ForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    PreTrainedConfig,
    PreTrainedModel,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.utils import logging

from model.checkpoint.bundled import BUNDLED_MODEL

SEED = 20
SUBLAYER_GAIN = 0.3
"""The factor of the random weights at the end of each sublayer."""
END_GAIN = 1.8
"""The factor of the end token's embedding, so that some targets end."""


def save_random_marian(directory: Path) -> None:
    """6+6 layers, D 512, 8 heads, feed-forward 2,048, and one vocabulary of 32,000 for both sides and the output."""
    model = _marian(vocab_size=32_000, d_model=512, num_layers=6, num_heads=8, ffn_dim=2048, max_positions=512)
    pad_token_id = model.config.pad_token_id
    with torch.no_grad():
        model.get_input_embeddings().weight[pad_token_id] = 0  # CTranslate2 starts targets with zeros
    model.generation_config.bad_words_ids = [[pad_token_id]]
    model.save_pretrained(directory)


def save_random_m2m100(directory: Path) -> None:
    """The bundled checkpoint's tokenizer with random weights: 6+6 layers, D 512, 8 heads, feed-forward 2,048."""
    shutil.copytree(BUNDLED_MODEL, directory, ignore=shutil.ignore_patterns("model.safetensors", "README.md"))
    config = M2M100Config.from_pretrained(BUNDLED_MODEL)
    config.update(
        {
            "d_model": 512,
            "encoder_layers": 6,
            "decoder_layers": 6,
            "encoder_attention_heads": 8,
            "decoder_attention_heads": 8,
            "encoder_ffn_dim": 2048,
            "decoder_ffn_dim": 2048,
            "init_std": 512**-0.5,
            "dtype": "float32",
        }
    )
    _random(M2M100ForConditionalGeneration, config).save_pretrained(directory)


def save_small_marian(directory: Path) -> None:
    """2+2 layers, D 64, 500 tokens, no tokenizer; padding forbidden, a forced end, and a minimum length."""
    model = _marian(vocab_size=500, d_model=64, num_layers=2, num_heads=4, ffn_dim=128, max_positions=128)
    _let_some_end(model)
    bad_words_ids = [[model.config.pad_token_id]]
    model.generation_config.update(bad_words_ids=bad_words_ids, forced_eos_token_id=0, min_length=8)
    model.save_pretrained(directory)


def save_small_t5(directory: Path) -> None:
    """2+2 layers, D 64, a head size that is no power of two, 500 tokens, no tokenizer."""
    config = T5Config(
        vocab_size=500,
        d_model=64,
        d_kv=24,
        d_ff=128,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=20,
        n_positions=128,
        tie_word_embeddings=True,
        decoder_start_token_id=0,
    )
    model = _random(T5ForConditionalGeneration, config)
    _let_some_end(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "relative_attention_bias" in name:
                parameter.copy_(torch.randn_like(parameter))
    model.save_pretrained(directory)


def _marian(
    *, vocab_size: int, d_model: int, num_layers: int, num_heads: int, ffn_dim: int, max_positions: int
) -> PreTrainedModel:
    """As many layers in the encoder as in the decoder, and one table of embeddings for both sides and the output."""
    config = MarianConfig(
        vocab_size=vocab_size,
        d_model=d_model,
        encoder_layers=num_layers,
        decoder_layers=num_layers,
        encoder_attention_heads=num_heads,
        decoder_attention_heads=num_heads,
        encoder_ffn_dim=ffn_dim,
        decoder_ffn_dim=ffn_dim,
        max_position_embeddings=max_positions,
        activation_function="swish",
        scale_embedding=True,
        static_position_embeddings=True,
        share_encoder_decoder_embeddings=True,
        tie_word_embeddings=True,
        pad_token_id=vocab_size - 1,
        decoder_start_token_id=vocab_size - 1,
        eos_token_id=0,
        init_std=d_model**-0.5,
    )
    return _random(MarianMTModel, config)


def _random(model_type: type[PreTrainedModel], config: PreTrainedConfig) -> PreTrainedModel:
    logging.disable_progress_bar()
    torch.manual_seed(SEED)
    model = model_type(config)
    _enliven(model)
    return model


def _let_some_end(model: PreTrainedModel) -> None:
    with torch.no_grad():
        model.get_input_embeddings().weight[model.config.eos_token_id] *= END_GAIN


def _enliven(model: PreTrainedModel) -> None:
    """Keep targets from repeating one token for ever, because engines that agree on that prove little.

    Weak sublayers keep tokens apart on their way through the layers, and norms that flip half of the signs keep a
    token from predicting itself.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layer_norm.weight" in name:
                parameter.copy_(torch.randn_like(parameter).sign())
            elif name.endswith(("out_proj.weight", "fc2.weight", ".o.weight", ".wo.weight")):
                parameter.mul_(SUBLAYER_GAIN)
