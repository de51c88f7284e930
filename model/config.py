"""Checkpoint configuration: any family's `config.json` and `generation_config.json`, validated, as frozen data.

A family is a function from `config.json` to `ModelConfig` (here) and a table of weight names (`weight_names.py`).
Nothing here imports torch, so that the service process can read a checkpoint's configuration.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from model.fields import CheckpointError, Fields
from model.generation import LEGACY_GENERATION_DEFAULTS, GenerationConfig

__all__ = ["ACTIVATIONS", "Activation", "Checkpoint", "CheckpointError", "GenerationConfig", "ModelConfig"]
__all__ += ["NormPosition", "Positions", "read_checkpoint"]

Activation = Literal["relu", "gelu", "gelu_tanh", "silu"]
NormPosition = Literal["pre", "post"]
Positions = Literal["sinusoidal", "sinusoidal_t2t"]

ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        "relu": "relu",
        "gelu": "gelu",
        "gelu_new": "gelu_tanh",
        "gelu_pytorch_tanh": "gelu_tanh",
        "silu": "silu",
        "swish": "silu",
    }
)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The shape of one encoder-decoder transformer. Symbols: D is `d_model`, N is `decoder_vocab_size`."""

    model_type: str
    vocab_size: int
    decoder_vocab_size: int
    d_model: int
    encoder_layers: int
    decoder_layers: int
    encoder_heads: int
    decoder_heads: int
    encoder_ffn: int
    decoder_ffn: int
    activation: Activation
    norm_position: NormPosition
    positions: Positions
    position_offset: int
    """The row of the positions table that the first token of a sequence takes."""
    max_positions: int
    """The most tokens in a source with its special tokens, and in a target with its prompt."""
    embed_scale: float
    final_norm: bool
    """A layer norm after the last layer of each stack."""
    tie_source_target: bool
    tie_output: bool
    output_bias: bool
    pad_token_id: int
    eos_token_id: int
    decoder_start_token_id: int
    bos_token_id: int | None
    languages: tuple[str, ...] | None
    """The languages that the checkpoint was trained in; None: all that its tokenizer knows."""
    pivot_lang: str | None
    """The language that stands on one side of every direct pair; None: all pairs are direct."""

    @property
    def encoder_head_dim(self) -> int:
        return self.d_model // self.encoder_heads

    @property
    def decoder_head_dim(self) -> int:
        return self.d_model // self.decoder_heads

    @classmethod
    def from_dict(cls, raw: Mapping[str, object], *, file: str = "config.json") -> "ModelConfig":
        """Raises CheckpointError, with its name, for a model type or a config value that is not implemented."""
        fields = Fields(file, raw)
        model_type = fields.string("model_type")
        if model_type not in FAMILIES:
            raise fields.error("model_type", f"{model_type!r} is not supported (only {', '.join(sorted(FAMILIES))})")
        config = FAMILIES[model_type](fields)
        _check_shapes(config, fields)
        return config


@dataclass(frozen=True, slots=True)
class Checkpoint:
    directory: Path
    name: str
    config: ModelConfig
    generation: GenerationConfig


def read_checkpoint(directory: Path, *, name: str) -> Checkpoint:
    """Read the configuration of the checkpoint in `directory`; weights and tokenizer files are not opened."""
    fields = Fields.read(directory / "config.json")
    config = ModelConfig.from_dict(fields.raw)
    path = directory / "generation_config.json"
    if path.exists():
        generation = GenerationConfig.from_dict(Fields.read(path).raw, config)
    else:  # older checkpoints keep the keys of generation in config.json, with defaults by family
        raw = {**LEGACY_GENERATION_DEFAULTS.get(config.model_type, {}), **fields.raw}
        generation = GenerationConfig.from_dict(raw, config, file=fields.file)
    return Checkpoint(directory=directory, name=name, config=config, generation=generation)


def _m2m_100(fields: Fields) -> ModelConfig:
    """M2M-100 and NLLB-200: norm before each sublayer, positions counted from just after the padding token's id."""
    fields.require({"normalize_before": (True,), "normalize_embedding": (False,), "is_encoder_decoder": (True,)})
    tied = fields.flag("tie_word_embeddings", default=True)
    return _bart_layout(
        fields,
        decoder_vocab_size=fields.size("vocab_size"),
        norm_position="pre",
        positions="sinusoidal_t2t",
        position_offset=fields.token_id("pad_token_id") + 1,
        tie_source_target=tied,
        tie_output=tied,
    )


def _marian(fields: Fields) -> ModelConfig:
    """OPUS-MT: norm after each sublayer, a bias on the logits, embeddings shared or one table a side."""
    fields.require(
        {
            "normalize_before": (False,),
            "normalize_embedding": (False,),
            "add_final_layer_norm": (False,),
            "static_position_embeddings": (True,),
            "is_encoder_decoder": (True,),
            "is_decoder": (False,),
        }
    )
    tied = fields.flag("tie_word_embeddings", default=True)
    shared = fields.flag("share_encoder_decoder_embeddings", default=True)
    return _bart_layout(
        fields,
        decoder_vocab_size=fields.size("decoder_vocab_size" if fields.has("decoder_vocab_size") else "vocab_size"),
        norm_position="post",
        positions="sinusoidal",
        position_offset=0,
        tie_source_target=tied and shared,
        tie_output=tied,
    )


def _bart_layout(
    fields: Fields,
    *,
    decoder_vocab_size: int,
    norm_position: NormPosition,
    positions: Positions,
    position_offset: int,
    tie_source_target: bool,
    tie_output: bool,
) -> ModelConfig:
    """The keys that the families in BART's layout share. A final norm goes with norm before the sublayers."""
    d_model = fields.size("d_model")
    activation = fields.string("activation_function")
    if activation not in ACTIVATIONS:
        raise fields.error("activation_function", f"{activation!r} is not implemented")
    return ModelConfig(
        model_type=fields.string("model_type"),
        vocab_size=fields.size("vocab_size"),
        decoder_vocab_size=decoder_vocab_size,
        d_model=d_model,
        encoder_layers=fields.size("encoder_layers"),
        decoder_layers=fields.size("decoder_layers"),
        encoder_heads=fields.size("encoder_attention_heads"),
        decoder_heads=fields.size("decoder_attention_heads"),
        encoder_ffn=fields.size("encoder_ffn_dim"),
        decoder_ffn=fields.size("decoder_ffn_dim"),
        activation=ACTIVATIONS[activation],
        norm_position=norm_position,
        positions=positions,
        position_offset=position_offset,
        max_positions=fields.size("max_position_embeddings"),
        embed_scale=sqrt(d_model) if fields.flag("scale_embedding") else 1.0,
        final_norm=norm_position == "pre",
        tie_source_target=tie_source_target,
        tie_output=tie_output,
        output_bias=norm_position == "post",
        pad_token_id=fields.token_id("pad_token_id"),
        eos_token_id=fields.token_id("eos_token_id"),
        decoder_start_token_id=fields.token_id("decoder_start_token_id"),
        bos_token_id=fields.optional_token_id("bos_token_id"),
        languages=fields.strings("languages") if fields.has("languages") else None,
        pivot_lang=fields.optional_string("pivot_lang"),
    )


def _check_shapes(config: ModelConfig, fields: Fields) -> None:
    d_model = config.d_model
    for key, heads in (
        ("encoder_attention_heads", config.encoder_heads),
        ("decoder_attention_heads", config.decoder_heads),
    ):
        if d_model % heads:
            raise fields.error(key, f"{heads} does not divide d_model {d_model}")
    if d_model < 4:  # the t2t sinusoids divide by D/2 - 1
        raise fields.error("d_model", f"{d_model} is too small for sinusoidal positions")
    if config.tie_source_target and config.vocab_size != config.decoder_vocab_size:
        raise fields.error("decoder_vocab_size", f"{config.decoder_vocab_size} differs from a shared vocab_size")
    for key, token_id in _special_tokens(config).items():
        if token_id >= config.decoder_vocab_size:
            raise fields.error(key, f"{token_id} is outside the vocabulary of {config.decoder_vocab_size}")
    if config.pivot_lang is not None and config.languages is not None and config.pivot_lang not in config.languages:
        raise fields.error("pivot_lang", f"{config.pivot_lang!r} is not one of the languages")


def _special_tokens(config: ModelConfig) -> Mapping[str, int]:
    return {
        "pad_token_id": config.pad_token_id,
        "eos_token_id": config.eos_token_id,
        "decoder_start_token_id": config.decoder_start_token_id,
    }


FAMILIES: Mapping[str, Callable[[Fields], ModelConfig]] = MappingProxyType({"m2m_100": _m2m_100, "marian": _marian})
