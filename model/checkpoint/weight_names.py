"""The map from tensors of a checkpoint file to parameters, by family.

A parameter may be several tensors laid end to end (Q, K and V). A tied tensor may have several names in the file: one
is enough, and all that are present must be equal.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from model.checkpoint.config import ModelConfig

Aliases = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WeightTable:
    """`weights` maps each parameter of `Transformer` to the tensors along its first axis, in equal parts."""

    weights: Mapping[str, tuple[Aliases, ...]]
    row_vectors: frozenset[str]
    """Tensors stored as [1, n] and read as [n]."""
    sinusoids: frozenset[str]
    """Position tables in older files; they must equal the computed table."""
    unused: frozenset[str]
    """Tensors that `transformers` writes and the family does not use."""
    optional: frozenset[str] = frozenset()
    """Tensors that a file may lack; they are then zero."""
    base_prefix: str = ""
    """The prefix of the names of the model without its head; absent where that model was saved by itself."""

    def alias_groups(self) -> list[Aliases]:
        return [aliases for parts in self.weights.values() for aliases in parts]

    def names(self) -> frozenset[str]:
        return self.sinusoids.union(self.unused, *self.alias_groups())

    def names_of(self, stored: Collection[str]) -> dict[str, str]:
        """Map each name in a file to the table's name; the file may hold a model that was saved without its head."""
        names = self.names()
        is_base = not any(name.startswith(self.base_prefix) for name in stored)
        prefixed = {name: self.base_prefix + name for name in stored} if is_base else {}
        return {name: prefixed[name] if prefixed.get(name) in names else name for name in stored}


def weight_table(config: ModelConfig) -> WeightTable:
    return WEIGHT_TABLES[config.model_type](config)


def _bart_layout(config: ModelConfig) -> WeightTable:
    """BART's names; Marian, M2M-100, NLLB, mBART and PEGASUS use them too, for the parts that they have."""
    weights = dict(_layers("encoder", config.encoder_layers)) | dict(_layers("decoder", config.decoder_layers))
    attentions = [f"model.decoder.layers.{index}.encoder_attn" for index in range(config.decoder_layers)]
    for kind in ("weight", "bias"):
        weights[f"cross_kv_proj.{kind}"] = tuple(
            (f"{attention}.{matrix}_proj.{kind}",) for attention in attentions for matrix in ("k", "v")
        )
        if config.embedding_norm:
            weights[f"source_embed_norm.{kind}"] = ((f"model.encoder.layernorm_embedding.{kind}",),)
            weights[f"target_embed_norm.{kind}"] = ((f"model.decoder.layernorm_embedding.{kind}",),)
        if config.final_norm:
            weights[f"encoder_norm.{kind}"] = ((f"model.encoder.layer_norm.{kind}",),)
            weights[f"decoder_norm.{kind}"] = ((f"model.decoder.layer_norm.{kind}",),)
    learned = config.positions == "learned"
    if learned:
        weights["source_positions.table"] = (("model.encoder.embed_positions.weight",),)
        weights["target_positions.table"] = (("model.decoder.embed_positions.weight",),)
    if config.output_bias:
        weights["output_projection.bias"] = (("final_logits_bias",),)
    return WeightTable(
        weights=weights | _embeddings(config, prefix="model."),
        row_vectors=frozenset({"final_logits_bias"}),
        sinusoids=frozenset() if learned else _SINUSOIDS,
        unused=_VERSIONS if config.tie_source_target else _VERSIONS | {"model.shared.weight"},
        optional=frozenset({"final_logits_bias"}),
        base_prefix="model.",
    )


def _t5_layout(config: ModelConfig) -> WeightTable:
    """T5 and mT5: sublayers are numbered, and layer 0 holds the relative bias of all layers."""
    weights = dict(_t5_layers("encoder", config.encoder_layers, gated=config.gated_ffn))
    weights |= _t5_layers("decoder", config.decoder_layers, gated=config.gated_ffn)
    attentions = [f"decoder.block.{index}.layer.1.EncDecAttention" for index in range(config.decoder_layers)]
    weights["cross_kv_proj.weight"] = tuple(
        (f"{attention}.{matrix}.weight",) for attention in attentions for matrix in ("k", "v")
    )
    for side in ("encoder", "decoder"):
        relative_bias = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        weights[f"{side}_bias.bias"] = ((relative_bias,),)
        weights[f"{side}_norm.weight"] = ((f"{side}.final_layer_norm.weight",),)
    return WeightTable(
        weights=weights | _embeddings(config, prefix=""),
        row_vectors=frozenset(),
        sinusoids=frozenset(),
        unused=frozenset({f"{attentions[0]}.relative_attention_bias.weight"}),
    )


def _embeddings(config: ModelConfig, *, prefix: str) -> dict[str, tuple[Aliases, ...]]:
    source: Aliases = (f"{prefix}encoder.embed_tokens.weight",)
    target: Aliases = (f"{prefix}decoder.embed_tokens.weight",)
    output: Aliases = ("lm_head.weight",)
    if config.tie_output:
        target += output
    if config.tie_source_target:
        source = (f"{prefix}shared.weight", *source, *target)
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

_VERSIONS = frozenset(f"model.{side}.version" for side in ("encoder", "decoder"))
"""Left over from fairseq, from whose format the first BARTs were converted."""

_SINUSOIDS = frozenset(
    f"model.{side}.embed_positions.{name}" for side in ("encoder", "decoder") for name in ("weight", "weights")
)


def _t5_layers(side: str, num_layers: int, *, gated: bool) -> Iterator[tuple[str, tuple[Aliases, ...]]]:
    for index in range(num_layers):
        ours, theirs = f"{side}_layers.{index}", f"{side}.block.{index}.layer"
        attention, ffn = f"{theirs}.0.SelfAttention", f"{theirs}.{1 if side == 'encoder' else 2}"
        dense = f"{ffn}.DenseReluDense"
        yield f"{ours}.self_attn.qkv_proj.weight", tuple((f"{attention}.{matrix}.weight",) for matrix in "qkv")
        yield f"{ours}.self_attn.out_proj.weight", ((f"{attention}.o.weight",),)
        yield f"{ours}.self_attn_norm.norm.weight", ((f"{theirs}.0.layer_norm.weight",),)
        if side == "decoder":
            cross = f"{theirs}.1.EncDecAttention"
            yield f"{ours}.cross_attn.q_proj.weight", ((f"{cross}.q.weight",),)
            yield f"{ours}.cross_attn.out_proj.weight", ((f"{cross}.o.weight",),)
            yield f"{ours}.cross_attn_norm.norm.weight", ((f"{theirs}.1.layer_norm.weight",),)
        first = ("wi_0", "wi_1") if gated else ("wi",)
        yield f"{ours}.ffn.fc1.weight", tuple((f"{dense}.{matrix}.weight",) for matrix in first)
        yield f"{ours}.ffn.fc2.weight", ((f"{dense}.wo.weight",),)
        yield f"{ours}.ffn_norm.norm.weight", ((f"{ffn}.layer_norm.weight",),)


WEIGHT_TABLES: Mapping[str, Callable[[ModelConfig], WeightTable]] = MappingProxyType(
    {
        "bart": _bart_layout,
        "m2m_100": _bart_layout,
        "marian": _bart_layout,
        "mbart": _bart_layout,
        "mt5": _t5_layout,
        "pegasus": _bart_layout,
        "t5": _t5_layout,
    }
)
