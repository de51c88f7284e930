"""Generation rules are read completely, and rules that are not implemented are refused by name."""

import pytest

from model.checkpoint.config import CheckpointError, GenerationConfig, ModelConfig
from tests.support.configs import MARIAN

CONFIG = ModelConfig.from_dict(MARIAN)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("encoder_no_repeat_ngram_size", 2),
        ("encoder_repetition_penalty", 1.1),
        ("sequence_bias", [[[3], -1.0]]),
        ("exponential_decay_length_penalty", [5, 1.1]),
        ("guidance_scale", 1.5),
        ("forced_decoder_ids", [[1, 3]]),
        ("num_beam_groups", 2),
        ("diversity_penalty", 0.5),
        ("constraints", [1]),
        ("stop_strings", ["a"]),
        ("watermarking_config", {"bias": 1.0}),
        ("eos_token_id", [0, 5]),
        ("eos_token_id", 5),
        ("decoder_start_token_id", 5),
        ("suppress_tokens", [1.5]),
        ("begin_suppress_tokens", [-1]),
        ("bad_words_ids", [3]),
        ("bad_words_ids", [[]]),
        ("length_penalty", "long"),
        ("length_penalty", 11),
        ("early_stopping", "sometimes"),
        ("no_repeat_ngram_size", -1),
        ("repetition_penalty", 0.0),
        ("min_length", 1.5),
        ("max_length", 0),
        ("max_new_tokens", 0),
        ("renormalize_logits", 1),
    ],
)
def test_generation_rule_that_is_wrong_or_not_implemented_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(CheckpointError, match=rf"generation_config\.json: {key} "):
        GenerationConfig.from_dict({key: value}, CONFIG)


def test_generation_rules_in_their_neutral_values_are_accepted() -> None:
    raw = {"no_repeat_ngram_size": 0, "repetition_penalty": 1.0, "min_length": 0, "bad_words_ids": None, "num_beams": 6}
    raw |= {"num_beam_groups": 1, "diversity_penalty": 0.0, "early_stopping": None, "renormalize_logits": False}
    assert GenerationConfig.from_dict(raw, CONFIG) == GenerationConfig(512)


def test_generation_rules_are_read_whole() -> None:
    raw = {
        "max_length": 4000,
        "length_penalty": 0.6,
        "early_stopping": "never",
        "forced_bos_token_id": 5,
        "forced_eos_token_id": [0],
        "min_length": 4,
        "repetition_penalty": 1.2,
        "no_repeat_ngram_size": 3,
        "bad_words_ids": [[99], [0], [4, 0]],
        "suppress_tokens": [7, 99],
        "begin_suppress_tokens": [8],
        "renormalize_logits": True,
    }
    assert GenerationConfig.from_dict(raw, CONFIG) == GenerationConfig(
        max_length=512,
        length_penalty=0.6,
        early_stopping="never",
        forced_bos_token_id=5,
        forced_eos_token_id=0,
        min_length=4,
        repetition_penalty=1.2,
        no_repeat_ngram_size=3,
        bad_words_ids=((99,), (4, 0)),  # the end token alone is no bad word
        suppress_tokens=(7, 99),
        begin_suppress_tokens=(8,),
        renormalize_logits=True,
    )


def test_new_tokens_go_before_lengths_and_count_from_the_start_token() -> None:
    raw = {"max_length": 100, "max_new_tokens": 20, "min_length": 9, "min_new_tokens": 3}
    assert GenerationConfig.from_dict(raw, CONFIG) == GenerationConfig(21, min_length=4)


@pytest.mark.parametrize(
    "rule", [{"suppress_tokens": [100]}, {"bad_words_ids": [[3, 100]]}, {"begin_suppress_tokens": [100]}]
)
def test_token_outside_the_vocabulary_in_a_rule_is_refused(rule: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="token 100, the vocabulary has 100"):
        GenerationConfig.from_dict(rule, CONFIG)
