"""Checkpoint configuration: any family's `config.json` and `generation_config.json`, validated, as frozen data.

A family is a function from `config.json` to `ModelConfig` (`families.py`) and a table of weight names
(`weight_names.py`). Nothing here imports torch, so that the service process can read a checkpoint's configuration.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from model.fields import CheckpointError, Fields

__all__ = ["Activation", "Checkpoint", "CheckpointError", "GenerationConfig", "ModelConfig", "Norm"]
__all__ += ["NormPosition", "Positions", "RelativePositions", "read_checkpoint"]

Activation = Literal["relu", "gelu", "gelu_tanh", "silu"]
Norm = Literal["layer", "rms"]
NormPosition = Literal["pre", "post"]
Positions = Literal["sinusoidal", "sinusoidal_t2t", "learned", "relative"]


@dataclass(frozen=True, slots=True)
class RelativePositions:
    """A learned bias on the scores of self-attention, by head and by bucket of distances."""

    num_buckets: int
    max_distance: int
    """From here on, all distances are in one bucket."""


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
    encoder_head_dim: int
    decoder_head_dim: int
    encoder_ffn: int
    decoder_ffn: int
    activation: Activation
    gated_ffn: bool
    """The activation of one product gates another one."""
    linear_bias: bool
    """A bias in every linear layer but the output projection."""
    attention_scale: float | None
    """What QK^T is multiplied by; None: 1/sqrt(d)."""
    norm: Norm
    norm_eps: float
    norm_position: NormPosition
    embedding_norm: bool
    """A norm between X and layer 0 of each stack."""
    final_norm: bool
    """A norm after the last layer of each stack."""
    positions: Positions
    position_offset: int
    """The row of the positions table that the first token of a sequence takes."""
    relative_positions: RelativePositions | None
    """Exactly where `positions` are relative."""
    max_positions: int
    """The most tokens in a source with its special tokens, and in a target with its prompt."""
    embed_scale: float
    output_scale: float
    """What Z' is multiplied by before the output projection."""
    tie_source_target: bool
    tie_output: bool | None
    """None: as the weight file has it. In a loaded `Transformer` it is known."""
    output_bias: bool
    pad_token_id: int
    eos_token_id: int
    decoder_start_token_id: int
    bos_token_id: int | None
    languages: tuple[str, ...] | None
    """The languages that the checkpoint was trained in; None: all that its tokenizer knows."""
    pivot_lang: str | None
    """The language that stands on one side of every direct pair; None: all pairs are direct."""

    @classmethod
    def from_dict(cls, raw: Mapping[str, object], *, file: str = "config.json") -> "ModelConfig":
        """Raises CheckpointError, with its name, for a model type or a config value that is not implemented."""
        from model.families import read_family  # which knows this class

        return read_family(Fields(file, raw))


@dataclass(frozen=True, slots=True)
class GenerationConfig:
    """What a checkpoint says about search."""

    max_length: int
    """The most tokens in a target, its decoder prompt included."""
    length_penalty: float
    forced_bos_token_id: int | None
    """Only where the decoder prompt has a language token in that place, which then goes before it."""
    forced_eos_token_id: int | None
    """The token in the last place of a target that reaches its maximum length."""
    suppressed_token_ids: tuple[int, ...]
    """Tokens that are never chosen."""

    @classmethod
    def from_dict(
        cls, raw: Mapping[str, object], config: ModelConfig, *, file: str = "generation_config.json"
    ) -> "GenerationConfig":
        """Raises CheckpointError for a rule that would change the translation and is not implemented."""
        fields = Fields(file, raw)
        fields.require(_ACCEPTED_GENERATION_VALUES)
        for key, token_id in _special_tokens(config).items():
            if fields.has(key) and fields.token_id(key) != token_id:
                raise fields.error(key, f"{fields.raw[key]!r} contradicts the {token_id} of config.json")
        if fields.has("forced_bos_token_id") and config.model_type not in _LANGUAGE_PROMPTED:
            raise fields.error("forced_bos_token_id", f"{raw['forced_bos_token_id']!r} is not implemented")
        bad_words = {*fields.single_token_words("bad_words_ids")} - {config.eos_token_id}  # as transformers does
        suppressed = bad_words | {*fields.token_ids("suppress_tokens")}
        max_length = fields.size("max_length") if fields.has("max_length") else config.max_positions
        generation = cls(
            max_length=min(max_length, config.max_positions),
            length_penalty=fields.number("length_penalty", default=1.0),
            forced_bos_token_id=fields.optional_token_id("forced_bos_token_id"),
            forced_eos_token_id=fields.optional_token_id("forced_eos_token_id"),
            suppressed_token_ids=tuple(sorted(suppressed)),
        )
        for ruled in (generation.forced_bos_token_id, generation.forced_eos_token_id, *suppressed):
            if ruled is not None and ruled >= config.decoder_vocab_size:
                raise fields.error("rules", f"name token {ruled}, the vocabulary has {config.decoder_vocab_size}")
        return generation


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
        raw = {**_LEGACY_GENERATION_DEFAULTS.get(config.model_type, {}), **fields.raw}
        generation = GenerationConfig.from_dict(raw, config, file=fields.file)
    return Checkpoint(directory=directory, name=name, config=config, generation=generation)


def _special_tokens(config: ModelConfig) -> Mapping[str, int]:
    return {
        "pad_token_id": config.pad_token_id,
        "eos_token_id": config.eos_token_id,
        "decoder_start_token_id": config.decoder_start_token_id,
    }


# Families whose decoder prompt has the target language's token where others would force a first token.
_LANGUAGE_PROMPTED = frozenset({"m2m_100", "mbart"})

# What `transformers` fills in when an old config.json, with no generation_config.json beside it, lacks the key.
_LEGACY_GENERATION_DEFAULTS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "bart": {"forced_eos_token_id": 2},
        "marian": {"forced_eos_token_id": 0},
        "mbart": {"forced_eos_token_id": 2},
        "pegasus": {"forced_eos_token_id": 1},
    }
)

# Rules that change which token is chosen and are not implemented, with the values that mean "off".
_ACCEPTED_GENERATION_VALUES: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {
        "begin_suppress_tokens": ([],),
        "constraints": (),
        "dola_layers": (),
        "encoder_no_repeat_ngram_size": (0,),
        "encoder_repetition_penalty": (1.0,),
        "exponential_decay_length_penalty": (),
        "force_words_ids": ([],),
        "forced_decoder_ids": ([],),
        "guidance_scale": (1.0,),
        "max_new_tokens": (),
        "max_time": (),
        "min_length": (0,),
        "min_new_tokens": (0,),
        "no_repeat_ngram_size": (0,),
        "penalty_alpha": (0.0,),
        "repetition_penalty": (1.0,),
        "sequence_bias": ({}, []),
        "stop_strings": ([],),
        "token_healing": (False,),
        "watermarking_config": (),
    }
)
