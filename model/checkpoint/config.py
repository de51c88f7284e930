"""Checkpoint configuration: any family's `config.json` and `generation_config.json`, validated, as frozen data.

A family is a function from `config.json` to `ModelConfig` (`families.py`) and a table of weight names
(`weight_names.py`). Nothing here imports torch, so that the service process can read a checkpoint's configuration.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model.checkpoint.fields import CheckpointError, Fields
from model.checkpoint.generation_config import LEGACY_GENERATION_DEFAULTS, GenerationConfig

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
    """Distances from this one on share the last bucket."""


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
    """The first product, after its activation, is multiplied by a second one."""
    linear_bias: bool
    """Every linear layer except the output projection has a bias."""
    attention_scale: float | None
    """The factor of QK^T; None: 1/sqrt(d)."""
    norm: Norm
    norm_eps: float
    norm_position: NormPosition
    embedding_norm: bool
    """A norm between X and layer 0 of each stack."""
    final_norm: bool
    """A norm after the last layer of each stack."""
    positions: Positions
    position_offset: int
    """The row of the positions table for the first token of a sequence."""
    relative_positions: RelativePositions | None
    """Set if and only if `positions` is relative."""
    max_positions: int
    """The most tokens in a source, special tokens included, and in a target, prompt included."""
    embed_scale: float
    output_scale: float
    """The factor of Z' before the output projection."""
    tie_source_target: bool
    tie_output: bool | None
    """None: decided by the weight file. Never None in a loaded `Transformer`."""
    output_bias: bool
    pad_token_id: int
    eos_token_id: int
    decoder_start_token_id: int
    bos_token_id: int | None
    languages: tuple[str, ...] | None
    """The languages of the checkpoint; None: all languages of its tokenizer."""
    pivot_lang: str | None
    """The language on one side of every direct pair; None: all pairs are direct."""

    @classmethod
    def from_dict(cls, raw: Mapping[str, object], *, file: str = "config.json") -> "ModelConfig":
        """Raises CheckpointError, which names the key, for a model type or value that is not implemented."""
        from model.checkpoint.families import read_family  # imports this class

        return read_family(Fields(file, raw))


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
    else:  # older checkpoints keep generation keys in config.json, with defaults by family
        raw = {**LEGACY_GENERATION_DEFAULTS.get(config.model_type, {}), **fields.raw}
        generation = GenerationConfig.from_dict(raw, config, file=fields.file)
    return Checkpoint(directory=directory, name=name, config=config, generation=generation)
