"""The checkpoint families: each is a function from `config.json` to `ModelConfig`.

Every key that changes the computation is either read, or refused if its value is not implemented.
"""

from collections.abc import Callable, Mapping
from math import sqrt
from types import MappingProxyType

from model.checkpoint.config import Activation, ModelConfig, NormPosition, Positions, RelativePositions
from model.checkpoint.fields import Fields

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
BART_NORM_EPS = 1e-5  # torch's default; BART's config.json never names it
BART_POSITION_OFFSET = 2
T5_MAX_POSITIONS = 1024  # T5 has no maximum length; mT5 was trained with this one


def read_family(fields: Fields) -> ModelConfig:
    """Raises CheckpointError, which names the key, for a model type or value that is not implemented."""
    model_type = fields.string("model_type")
    if model_type not in FAMILIES:
        raise fields.error("model_type", f"{model_type!r} is not supported (only {', '.join(sorted(FAMILIES))})")
    fields.require({"is_encoder_decoder": (True,), "is_decoder": (False,), "per_layer_config": ({},)})
    config = FAMILIES[model_type](fields)
    _check(config, fields)
    return config


def _m2m_100(fields: Fields) -> ModelConfig:
    """M2M-100 and NLLB-200: norm before each sublayer, positions counted from just after the padding token's id."""
    return _bart_layout(
        fields,
        norm_position="pre",
        positions="sinusoidal_t2t",
        position_offset=fields.token_id("pad_token_id") + 1,
        output_bias=False,
    )


def _marian(fields: Fields) -> ModelConfig:
    """OPUS-MT: norm after each sublayer, a bias on the logits, embeddings shared or one table a side."""
    return _bart_layout(
        fields,
        decoder_vocab_size=_size(fields, "decoder_vocab_size", default=fields.size("vocab_size")),
        norm_position="post",
        positions="sinusoidal",
        share_source_target=fields.flag("share_encoder_decoder_embeddings", default=True),
    )


def _bart(fields: Fields) -> ModelConfig:
    """BART: norm after each sublayer and after the embeddings, learned positions."""
    if not fields.has("forced_bos_token_id"):  # the rule's older name, which nothing reads any more
        fields.require({"force_bos_token_to_be_generated": (False,)})
    return _bart_layout(
        fields,
        norm_position="post",
        positions="learned",
        position_offset=BART_POSITION_OFFSET,
        embedding_norm=True,
    )


def _mbart(fields: Fields) -> ModelConfig:
    """mBART: BART with the norm before each sublayer, and a final norm.

    mBART-25 starts with the target's language token, so its config may lack a start token; the end token replaces it.
    """
    return _bart_layout(
        fields,
        norm_position="pre",
        positions="learned",
        position_offset=BART_POSITION_OFFSET,
        embedding_norm=True,
        default_start="eos_token_id",
    )


def _pegasus(fields: Fields) -> ModelConfig:
    """PEGASUS: norm before each sublayer, sinusoids, a bias on the logits."""
    return _bart_layout(fields, norm_position="pre", positions="sinusoidal")


def _bart_layout(
    fields: Fields,
    *,
    decoder_vocab_size: int | None = None,
    norm_position: NormPosition,
    positions: Positions,
    position_offset: int = 0,
    embedding_norm: bool = False,
    share_source_target: bool = True,
    output_bias: bool = True,
    default_start: str = "decoder_start_token_id",
) -> ModelConfig:
    """The keys shared by families with BART's layout. Stacks with pre-norm layers have a final norm."""
    fields.require(  # implied by the family; `transformers` ignores these keys
        {
            "normalize_before": (norm_position == "pre",),
            "normalize_embedding": (embedding_norm,),
            "add_final_layer_norm": (norm_position == "pre",),
            "static_position_embeddings": (positions != "learned",),
        }
    )
    d_model = fields.size("d_model")
    tied = fields.flag("tie_word_embeddings", default=True)
    start = "decoder_start_token_id" if fields.has("decoder_start_token_id") else default_start
    return ModelConfig(
        model_type=fields.string("model_type"),
        vocab_size=fields.size("vocab_size"),
        decoder_vocab_size=decoder_vocab_size or fields.size("vocab_size"),
        d_model=d_model,
        encoder_layers=fields.size("encoder_layers"),
        decoder_layers=fields.size("decoder_layers"),
        encoder_heads=fields.size("encoder_attention_heads"),
        decoder_heads=fields.size("decoder_attention_heads"),
        encoder_head_dim=_head_dim(fields, "encoder_attention_heads", d_model),
        decoder_head_dim=_head_dim(fields, "decoder_attention_heads", d_model),
        encoder_ffn=fields.size("encoder_ffn_dim"),
        decoder_ffn=fields.size("decoder_ffn_dim"),
        activation=_activation(fields, "activation_function", fields.string("activation_function")),
        gated_ffn=False,
        linear_bias=True,
        attention_scale=None,
        norm="layer",
        norm_eps=BART_NORM_EPS,
        norm_position=norm_position,
        embedding_norm=embedding_norm,
        final_norm=norm_position == "pre",
        positions=positions,
        position_offset=position_offset,
        relative_positions=None,
        max_positions=fields.size("max_position_embeddings"),
        embed_scale=sqrt(d_model) if fields.flag("scale_embedding") else 1.0,
        output_scale=1.0,
        tie_source_target=tied and share_source_target,
        tie_output=tied,
        output_bias=output_bias,
        pad_token_id=fields.token_id("pad_token_id"),
        eos_token_id=fields.token_id("eos_token_id"),
        decoder_start_token_id=fields.token_id(start),
        bos_token_id=fields.optional_token_id("bos_token_id"),
        languages=fields.strings("languages") if fields.has("languages") else None,
        pivot_lang=fields.optional_string("pivot_lang"),
    )


def _head_dim(fields: Fields, key: str, d_model: int) -> int:
    heads = fields.size(key)
    if d_model % heads:
        raise fields.error(key, f"{heads} is not a divisor of d_model {d_model}")
    return d_model // heads


def _activation(fields: Fields, key: str, name: str) -> Activation:
    if name not in ACTIVATIONS:
        raise fields.error(key, f"{name!r} is not implemented")
    return ACTIVATIONS[name]


def _size(fields: Fields, key: str, *, default: int) -> int:
    return fields.size(key) if fields.has(key) else default


def _t5(fields: Fields) -> ModelConfig:
    """T5, T5 v1.1, FLAN-T5: RMSNorm, relative positions, no biases; v1.1 has gated feed-forward.

    The original scales Z' and ties the output projection; v1.1 does neither, so `tie_word_embeddings` implies both.
    `transformers` 5 always saves it as true and has a separate flag for the scale.
    """
    tied = fields.flag("tie_word_embeddings", default=True)
    scaled = fields.flag("scale_decoder_outputs", default=tied)
    return _t5_layout(fields, tie_output=None if tied else False, scale_output=scaled, default_ffn="relu")


def _mt5(fields: Fields) -> ModelConfig:
    """mT5: T5 v1.1. The weight files decide whether the output projection is tied; `tie_word_embeddings` is ignored."""
    return _t5_layout(fields, tie_output=None, scale_output=False, default_ffn="gated-gelu")


def _t5_layout(fields: Fields, *, tie_output: bool | None, scale_output: bool, default_ffn: str) -> ModelConfig:
    d_model = fields.size("d_model")
    activation, gated = _t5_feed_forward(fields, default=default_ffn)
    return ModelConfig(
        model_type=fields.string("model_type"),
        vocab_size=fields.size("vocab_size"),
        decoder_vocab_size=fields.size("vocab_size"),
        d_model=d_model,
        encoder_layers=fields.size("num_layers"),
        decoder_layers=_size(fields, "num_decoder_layers", default=fields.size("num_layers")),
        encoder_heads=fields.size("num_heads"),
        decoder_heads=fields.size("num_heads"),
        encoder_head_dim=fields.size("d_kv"),
        decoder_head_dim=fields.size("d_kv"),
        encoder_ffn=fields.size("d_ff"),
        decoder_ffn=fields.size("d_ff"),
        activation=activation,
        gated_ffn=gated,
        linear_bias=False,
        attention_scale=1.0,
        norm="rms",
        norm_eps=fields.number("layer_norm_epsilon", default=1e-6),
        norm_position="pre",
        embedding_norm=False,
        final_norm=True,
        positions="relative",
        position_offset=0,
        relative_positions=_relative_positions(fields),
        max_positions=_size(fields, "n_positions", default=T5_MAX_POSITIONS),
        embed_scale=1.0,
        output_scale=d_model**-0.5 if scale_output else 1.0,
        tie_source_target=True,
        tie_output=tie_output,
        output_bias=False,
        pad_token_id=fields.token_id("pad_token_id"),
        eos_token_id=fields.token_id("eos_token_id"),
        decoder_start_token_id=fields.token_id("decoder_start_token_id"),
        bos_token_id=fields.optional_token_id("bos_token_id"),
        languages=fields.strings("languages") if fields.has("languages") else None,
        pivot_lang=fields.optional_string("pivot_lang"),
    )


def _t5_feed_forward(fields: Fields, *, default: str) -> tuple[Activation, bool]:
    """An activation, perhaps after `gated-`; gated-gelu is the tanh approximation. Newer files name both separately."""
    projection = fields.optional_string("feed_forward_proj") or default
    gate, _, name = projection.rpartition("-")
    if gate not in ("", "gated"):
        raise fields.error("feed_forward_proj", f"{projection!r} is not implemented")
    gated = fields.flag("is_gated_act", default=gate == "gated")
    if fields.has("dense_act_fn"):
        return _activation(fields, "dense_act_fn", fields.string("dense_act_fn")), gated
    name = "gelu_new" if projection == "gated-gelu" else name
    return _activation(fields, "feed_forward_proj", name), gated


def _relative_positions(fields: Fields) -> RelativePositions:
    """Half of the buckets (of a direction, in the encoder) hold one distance each; the rest must hold more than one."""
    num_buckets = _size(fields, "relative_attention_num_buckets", default=32)
    max_distance = _size(fields, "relative_attention_max_distance", default=128)
    if num_buckets < 4:
        raise fields.error("relative_attention_num_buckets", f"{num_buckets} is too small; the least is 4")
    if max_distance <= num_buckets // 2:
        raise fields.error("relative_attention_max_distance", f"{max_distance} is too small for {num_buckets} buckets")
    return RelativePositions(num_buckets=num_buckets, max_distance=max_distance)


def _check(config: ModelConfig, fields: Fields) -> None:
    if config.d_model < 4:  # the t2t sinusoids divide by D/2 - 1
        raise fields.error("d_model", f"{config.d_model} is too small; the least is 4")
    if config.tie_source_target and config.vocab_size != config.decoder_vocab_size:
        raise fields.error("decoder_vocab_size", f"{config.decoder_vocab_size} differs from a shared vocab_size")
    for key in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
        token_id = fields.optional_token_id(key)
        if token_id is not None and token_id >= config.decoder_vocab_size:
            raise fields.error(key, f"{token_id} is outside the vocabulary of {config.decoder_vocab_size}")
    if config.pivot_lang is not None and config.languages is not None and config.pivot_lang not in config.languages:
        raise fields.error("pivot_lang", f"{config.pivot_lang!r} is not one of the languages")


FAMILIES: Mapping[str, Callable[[Fields], ModelConfig]] = MappingProxyType(
    {
        "bart": _bart,
        "m2m_100": _m2m_100,
        "marian": _marian,
        "mbart": _mbart,
        "mt5": _mt5,
        "pegasus": _pegasus,
        "t5": _t5,
    }
)
