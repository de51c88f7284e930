"""Configurations are read completely, and values that are not implemented are refused by name."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from model.checkpoint.config import CheckpointError, GenerationConfig, ModelConfig, read_checkpoint
from tests.support.checkpoints import BUNDLED, Shape, random_marian
from tests.support.configs import MARIAN

M2M100 = json.loads((BUNDLED / "config.json").read_text(encoding="utf-8"))


def test_bundled_checkpoint_is_read_with_its_languages() -> None:
    checkpoint = read_checkpoint(BUNDLED, name="bundled")
    config = checkpoint.config
    assert (config.d_model, config.encoder_layers, config.decoder_layers) == (256, 6, 2)
    assert (config.norm_position, config.positions, config.position_offset) == ("pre", "sinusoidal_t2t", 2)
    assert (config.embed_scale, config.final_norm, config.tie_source_target, config.tie_output) == (
        16,
        True,
        True,
        True,
    )
    assert config.languages == ("en", "de", "fr", "es", "ja")
    assert config.pivot_lang == "en"
    assert checkpoint.generation == GenerationConfig(256, early_stopping=True)


def test_marian_configuration_is_post_norm_with_a_bias_on_the_logits() -> None:
    config = ModelConfig.from_dict(MARIAN)
    assert (config.norm_position, config.positions, config.position_offset) == ("post", "sinusoidal", 0)
    assert (config.activation, config.final_norm, config.output_bias) == ("silu", False, True)
    assert (config.encoder_head_dim, config.decoder_head_dim) == (8, 4)
    assert (config.languages, config.pivot_lang) == (None, None)


@pytest.mark.parametrize(
    ("tied", "shared", "expected"),
    [(True, True, (True, True)), (True, False, (False, True)), (False, True, (False, False))],
)
def test_marian_ties_follow_both_of_its_keys(tied: bool, shared: bool, expected: tuple[bool, bool]) -> None:
    raw = MARIAN | {"tie_word_embeddings": tied, "share_encoder_decoder_embeddings": shared}
    config = ModelConfig.from_dict(raw)
    assert (config.tie_source_target, config.tie_output) == expected


@pytest.mark.parametrize(
    ("base", "key", "value"),
    [
        (M2M100, "model_type", "nllb-moe"),
        (M2M100, "model_type", None),
        (M2M100, "activation_function", "quick_gelu"),
        (M2M100, "normalize_before", False),
        (M2M100, "is_encoder_decoder", False),
        (M2M100, "d_model", "256"),
        (M2M100, "encoder_layers", 0),
        (M2M100, "decoder_attention_heads", 7),
        (M2M100, "scale_embedding", None),
        (M2M100, "eos_token_id", [2, 3]),
        (M2M100, "pad_token_id", 16_108),
        (M2M100, "languages", "en"),
        (M2M100, "pivot_lang", "it"),
        (M2M100, "tie_word_embeddings", "yes"),
        (MARIAN, "normalize_before", True),
        (MARIAN, "normalize_embedding", True),
        (MARIAN, "add_final_layer_norm", True),
        (MARIAN, "static_position_embeddings", False),
        (MARIAN, "decoder_vocab_size", 101),
    ],
)
def test_config_value_that_is_wrong_or_not_implemented_is_refused_by_name(
    base: dict[str, object], key: str, value: object
) -> None:
    with pytest.raises(CheckpointError, match=rf"config\.json: {key} "):
        ModelConfig.from_dict(base | {key: value})


def test_generation_keys_of_an_old_checkpoint_are_read_from_its_config(tmp_path: Path) -> None:
    raw = MARIAN | {"bad_words_ids": [[99]], "max_length": 200, "num_beams": 6}
    (tmp_path / "config.json").write_text(json.dumps(raw), encoding="utf-8")
    generation = read_checkpoint(tmp_path, name="old").generation
    assert generation == GenerationConfig(200, forced_eos_token_id=0, bad_words_ids=((99,),))


def test_generation_file_goes_before_the_config(tmp_path: Path) -> None:
    directory = random_marian(tmp_path, seed=0, shape=Shape(max_positions=40))
    checkpoint = read_checkpoint(directory, name="random")
    assert checkpoint.generation.max_length == 40
    assert checkpoint.generation.forced_eos_token_id == 0
    assert checkpoint.generation.bad_words_ids == ((checkpoint.config.pad_token_id,),)


@pytest.mark.parametrize("content", ["{", "[]", "\xff"])
def test_unreadable_config_is_an_error_that_names_the_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"config\.json"):
        read_checkpoint(tmp_path, name="broken")


def test_missing_config_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json: no such file"):
        read_checkpoint(tmp_path, name="empty")


def test_configuration_and_hub_do_not_import_torch() -> None:
    code = "import sys, model.checkpoint.config, model.checkpoint.hub; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
