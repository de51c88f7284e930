"""Each family's config.json becomes the shape that it describes, or is refused by the key's name."""

from math import sqrt

import pytest

from model.checkpoint.config import CheckpointError, GenerationConfig, ModelConfig, RelativePositions

BART_LAYOUT = {
    "vocab_size": 100,
    "d_model": 32,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 8,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 48,
    "activation_function": "gelu",
    "max_position_embeddings": 512,
    "scale_embedding": False,
    "pad_token_id": 1,
    "eos_token_id": 2,
}
BART = BART_LAYOUT | {"model_type": "bart", "decoder_start_token_id": 2}
MBART = BART_LAYOUT | {"model_type": "mbart", "scale_embedding": True}
PEGASUS = BART_LAYOUT | {"model_type": "pegasus", "decoder_start_token_id": 0}
T5 = {
    "model_type": "t5",
    "vocab_size": 100,
    "d_model": 32,
    "d_kv": 10,
    "d_ff": 64,
    "num_layers": 3,
    "num_heads": 4,
    "relative_attention_num_buckets": 16,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
}
MT5 = T5 | {"model_type": "mt5"}


def test_bart_is_post_norm_with_learned_positions_and_a_norm_after_the_embeddings() -> None:
    config = ModelConfig.from_dict(BART)
    assert (config.norm, config.norm_position, config.embedding_norm, config.final_norm) == (
        "layer",
        "post",
        True,
        False,
    )
    assert (config.positions, config.position_offset, config.max_positions) == ("learned", 2, 512)
    assert (config.embed_scale, config.output_scale, config.output_bias, config.linear_bias) == (1.0, 1.0, True, True)
    assert (config.encoder_head_dim, config.decoder_head_dim) == (8, 4)


def test_mbart_is_bart_with_norm_before_and_at_the_end_and_may_lack_a_start_token() -> None:
    config = ModelConfig.from_dict(MBART)
    assert (config.norm_position, config.embedding_norm, config.final_norm) == ("pre", True, True)
    assert config.embed_scale == sqrt(32)
    assert config.decoder_start_token_id == config.eos_token_id


def test_pegasus_is_pre_norm_with_sinusoids_from_zero() -> None:
    config = ModelConfig.from_dict(PEGASUS)
    assert (config.norm_position, config.embedding_norm, config.final_norm) == ("pre", False, True)
    assert (config.positions, config.position_offset, config.output_bias) == ("sinusoidal", 0, True)


def test_t5_has_relative_positions_and_neither_biases_nor_scaled_attention() -> None:
    config = ModelConfig.from_dict(T5)
    assert config.relative_positions == RelativePositions(num_buckets=16, max_distance=128)
    assert (config.norm, config.norm_eps, config.norm_position, config.final_norm) == ("rms", 1e-6, "pre", True)
    assert (config.linear_bias, config.output_bias, config.attention_scale, config.embed_scale) == (
        False,
        False,
        1.0,
        1.0,
    )
    assert (config.encoder_head_dim, config.encoder_layers, config.decoder_layers) == (10, 3, 3)
    assert ModelConfig.from_dict(T5 | {"num_decoder_layers": 2}).decoder_layers == 2
    assert ModelConfig.from_dict(T5 | {"n_positions": 77}).max_positions == 77


@pytest.mark.parametrize(
    ("raw", "tied", "scaled"),
    [
        (T5, None, True),
        (T5 | {"tie_word_embeddings": False}, False, False),  # v1.1 as published
        (T5 | {"tie_word_embeddings": True, "scale_decoder_outputs": False}, None, False),  # as transformers 5 saves it
        (MT5, None, False),
        (MT5 | {"tie_word_embeddings": False}, None, False),
    ],
)
def test_t5_scale_of_the_output_follows_its_tie(raw: dict[str, object], tied: bool | None, scaled: bool) -> None:
    config = ModelConfig.from_dict(raw)
    assert config.tie_output is tied
    assert config.output_scale == (32**-0.5 if scaled else 1.0)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, ("relu", False)),
        ({"feed_forward_proj": "gated-gelu"}, ("gelu_tanh", True)),
        ({"feed_forward_proj": "gelu"}, ("gelu", False)),
        ({"feed_forward_proj": "gated-silu"}, ("silu", True)),
        ({"feed_forward_proj": "gated-gelu", "dense_act_fn": "gelu", "is_gated_act": True}, ("gelu", True)),
    ],
)
def test_t5_feed_forward_is_what_its_keys_say(keys: dict[str, object], expected: tuple[str, bool]) -> None:
    config = ModelConfig.from_dict(T5 | keys)
    assert (config.activation, config.gated_ffn) == expected


def test_mt5_is_gated_without_a_key() -> None:
    config = ModelConfig.from_dict(MT5)
    assert (config.activation, config.gated_ffn) == ("gelu_tanh", True)


@pytest.mark.parametrize(
    ("base", "key", "value"),
    [
        (BART, "normalize_before", True),
        (BART, "normalize_embedding", False),
        (BART, "add_final_layer_norm", True),
        (BART, "static_position_embeddings", True),
        (BART, "force_bos_token_to_be_generated", True),
        (BART, "is_decoder", True),
        (BART, "per_layer_config", {"0": {"d_model": 8}}),
        (BART, "decoder_start_token_id", None),
        (BART, "decoder_start_token_id", 100),
        (MBART, "normalize_before", False),
        (MBART, "add_final_layer_norm", False),
        (MBART, "activation_function", "quick_gelu"),
        (PEGASUS, "normalize_before", False),
        (PEGASUS, "static_position_embeddings", False),
        (PEGASUS, "encoder_attention_heads", 5),
        (T5, "feed_forward_proj", "gelu-gated"),
        (T5, "feed_forward_proj", "gated-quick_gelu"),
        (T5, "dense_act_fn", "tanh"),
        (T5, "is_gated_act", "yes"),
        (T5, "is_encoder_decoder", False),
        (T5, "d_kv", None),
        (T5, "relative_attention_num_buckets", 3),
        (T5, "relative_attention_max_distance", 8),
        (T5, "layer_norm_epsilon", "small"),
        (MT5, "decoder_start_token_id", None),
    ],
)
def test_value_of_a_family_that_is_wrong_or_not_implemented_is_refused_by_name(
    base: dict[str, object], key: str, value: object
) -> None:
    with pytest.raises(CheckpointError, match=rf"config\.json: {key} "):
        ModelConfig.from_dict(base | {key: value})


@pytest.mark.parametrize("model_type", ["umt5", "longt5", "switch_transformers", "nllb-moe", "blenderbot", "led"])
def test_relatives_with_a_computation_of_their_own_are_refused(model_type: str) -> None:
    with pytest.raises(CheckpointError, match=f"model_type '{model_type}' is not supported"):
        ModelConfig.from_dict(T5 | BART | {"model_type": model_type})


def test_first_token_of_mbart_is_its_target_and_goes_into_the_prompt() -> None:
    generation = GenerationConfig.from_dict({"forced_bos_token_id": 7}, ModelConfig.from_dict(MBART))
    assert generation.forced_bos_token_id == 7
