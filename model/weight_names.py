"""Which tensors of a checkpoint file fill which parameters, by family.

A parameter may be several tensors laid end to end (Q, K and V), and one tensor may stand in the file under several
names (tied embeddings): then any one of them will do, and all that are there must agree.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from model.config import ModelConfig

Aliases = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WeightTable:
    """`weights` says for each parameter of `Transformer` the tensors along its first axis, by equal parts."""

    weights: Mapping[str, tuple[Aliases, ...]]
    row_vectors: frozenset[str]
    """Tensors stored as [1, n] of which the n are meant."""
    sinusoids: frozenset[str]
    """Position tables that older files carry: they must equal ours, which is computed."""
    unused: frozenset[str]
    """Tensors that `transformers` writes and no computation of the family reads."""

    def names(self) -> frozenset[str]:
        used = {name for parts in self.weights.values() for aliases in parts for name in aliases}
        return self.sinusoids | self.unused | used


def weight_table(config: ModelConfig) -> WeightTable:
    return WEIGHT_TABLES[config.model_type](config)


def _bart_layout(config: ModelConfig) -> WeightTable:
    """M2M-100, NLLB, Marian: BART's names, with or without a final norm and a bias on the logits."""
    weights = dict(_layers("encoder", config.encoder_layers)) | dict(_layers("decoder", config.decoder_layers))
    attentions = [f"model.decoder.layers.{index}.encoder_attn" for index in range(config.decoder_layers)]
    for kind in ("weight", "bias"):
        weights[f"cross_kv_proj.{kind}"] = tuple(
            (f"{attention}.{matrix}_proj.{kind}",) for attention in attentions for matrix in ("k", "v")
        )
        if config.final_norm:
            weights[f"encoder_norm.{kind}"] = ((f"model.encoder.layer_norm.{kind}",),)
            weights[f"decoder_norm.{kind}"] = ((f"model.decoder.layer_norm.{kind}",),)
    if config.output_bias:
        weights["output_projection.bias"] = (("final_logits_bias",),)
    weights |= _embeddings(config)
    return WeightTable(
        weights=weights,
        row_vectors=frozenset({"final_logits_bias"}),
        sinusoids=frozenset(
            f"model.{side}.embed_positions.{name}" for side in ("encoder", "decoder") for name in ("weight", "weights")
        ),
        unused=frozenset() if config.tie_source_target else frozenset({"model.shared.weight"}),
    )


def _embeddings(config: ModelConfig) -> dict[str, tuple[Aliases, ...]]:
    source: Aliases = ("model.encoder.embed_tokens.weight",)
    target: Aliases = ("model.decoder.embed_tokens.weight",)
    output: Aliases = ("lm_head.weight",)
    if config.tie_output:
        target += output
    if config.tie_source_target:
        source = ("model.shared.weight", *source, *target)
    weights: dict[str, tuple[Aliases, ...]] = {"source_embed_tokens.weight": (source,)}
    if not config.tie_source_target:
        weights["target_embed_tokens.weight"] = (target,)
    if not config.tie_output:
        weights["output_projection.weight"] = (output,)
    return weights


def _layers(side: str, num_layers: int) -> Iterator[tuple[str, tuple[Aliases, ...]]]:
    for index in range(num_layers):
        ours, theirs = f"{side}_layers.{index}", f"model.{side}.layers.{index}"
        for kind in ("weight", "bias"):
            yield (
                f"{ours}.self_attn.qkv_proj.{kind}",
                tuple((f"{theirs}.self_attn.{matrix}_proj.{kind}",) for matrix in ("q", "k", "v")),
            )
            for our_name, their_name in _SINGLE if side == "encoder" else _SINGLE + _SINGLE_CROSS:
                yield f"{ours}.{our_name}.{kind}", ((f"{theirs}.{their_name}.{kind}",),)


_SINGLE = (
    ("self_attn.out_proj", "self_attn.out_proj"),
    ("self_attn_norm.norm", "self_attn_layer_norm"),
    ("ffn.fc1", "fc1"),
    ("ffn.fc2", "fc2"),
    ("ffn_norm.norm", "final_layer_norm"),
)
_SINGLE_CROSS = (
    ("cross_attn.q_proj", "encoder_attn.q_proj"),
    ("cross_attn.out_proj", "encoder_attn.out_proj"),
    ("cross_attn_norm.norm", "encoder_attn_layer_norm"),
)

WEIGHT_TABLES: Mapping[str, Callable[[ModelConfig], WeightTable]] = MappingProxyType(
    {"m2m_100": _bart_layout, "marian": _bart_layout}
)
