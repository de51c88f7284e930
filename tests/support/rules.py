"""Generation rules by name, and their outputs in our model and in `transformers`."""

from collections import Counter
from dataclasses import replace
from typing import Any

from model.checkpoint.generation_config import GenerationConfig
from model.decoding.generate import generate
from tests.support.pairs import Output, Pair, assert_equal_outputs, make_spec, prompts_of, random_sources, their_outputs

MAX_LENGTH = 22
NUM_SOURCES = 8
BEAM_SIZE = 3
Rules = dict[str, object]


def theirs(pair: Pair, rules: Rules, *, num_beams: int, prompt: list[int] | None = None) -> list[Output]:
    """The best output of `transformers` for every source."""
    options: dict[str, Any] = {"max_length": MAX_LENGTH, "early_stopping": num_beams > 1} | rules
    options["use_cache"] = (
        "t5" not in pair.checkpoint.config.model_type
    )  # its cache has one layer for each encoder layer
    prompt = prompt or prompts_of(pair, 1)[0]
    sources = random_sources(pair, NUM_SOURCES, seed=6)
    return [outputs[0] for outputs in their_outputs(pair, sources, prompt, num_beams=num_beams, **options)]


def outputs_without_rules(pair: Pair) -> list[list[int]]:
    """Greedy and beam outputs, from which rules choose tokens to forbid."""
    return [output.token_ids for beams in (1, BEAM_SIZE) for output in theirs(pair, {}, num_beams=beams)]


def check(pair: Pair, rules: Rules, *, prompt: list[int] | None = None) -> list[list[int]]:
    """Compare greedy and beam outputs, ours from one mixed batch. Returns their token ids."""
    greedy, beams = (theirs(pair, rules, num_beams=num_beams, prompt=prompt) for num_beams in (1, BEAM_SIZE))
    own: Rules = {
        "max_length": MAX_LENGTH,
        "forced_eos_token_id": pair.checkpoint.generation.forced_eos_token_id,
        "bad_words_ids": [list(word) for word in pair.checkpoint.generation.bad_words_ids],
    }
    generation = GenerationConfig.from_dict(own | rules, pair.checkpoint.config)
    prompt = prompt or prompts_of(pair, 1)[0]
    specs = [
        make_spec(
            source,
            prompt,
            MAX_LENGTH,
            beam_size=1 if index < NUM_SOURCES else BEAM_SIZE,
            early_stopping=True,
            repetition_guard=False,
            num_uncounted_tokens=len(prompt) if len(prompt) > 2 else 1,
        )
        for index, source in enumerate(random_sources(pair, NUM_SOURCES, seed=6) * 2)
    ]
    ours = generate(pair.ours, replace(pair.checkpoint, generation=generation), specs, max_rows=18)
    for hypotheses, output in zip(ours, greedy + beams, strict=True):
        assert_equal_outputs(hypotheses, [output], rules)
    return [output.token_ids for output in greedy + beams]


def frequent(said: list[list[int]], n: int, pair: Pair, *, count: int = 4) -> list[list[int]]:
    """The most frequent n-grams without the end token."""
    eos = pair.checkpoint.config.eos_token_id
    ngrams = Counter(tuple(ids[i : i + n]) for ids in said for i in range(len(ids) - n + 1))
    return [list(ngram) for ngram, _ in ngrams.most_common() if eos not in ngram][:count]


def rules_of(name: str, pair: Pair, said: list[list[int]]) -> Rules:
    """The rules of this name, with tokens from the outputs without rules, `said`, so that they have an effect."""
    eos = pair.checkpoint.config.eos_token_id
    words = [word for n in (1, 2, 3) for word in frequent(said, n, pair)]
    tokens = [word[0] for word in frequent(said, 1, pair)]
    first = list({ids[0] for ids in said if ids[0] != eos})
    rules: dict[str, Rules] = {
        "bad_words": {"bad_words_ids": [*words, [eos]]},
        "bad_pairs": {"bad_words_ids": [[eos, tokens[0]], *frequent(said, 2, pair, count=8)]},
        "suppress": {"suppress_tokens": tokens},
        "begin_suppress": {"begin_suppress_tokens": [*first, eos]},
        "min_length": {"min_length": 14},
        "min_new_tokens": {"min_new_tokens": 9},
        "max_length": {"max_length": 7},
        "max_new_tokens": {"max_new_tokens": 6},
        "forced_eos": {"forced_eos_token_id": tokens[1], "max_length": 9},
        "no_repeat_1": {"no_repeat_ngram_size": 1},
        "no_repeat_2": {"no_repeat_ngram_size": 2},
        "no_repeat_3": {"no_repeat_ngram_size": 3},
        "penalty": {"repetition_penalty": 1.6},
        "bonus": {"repetition_penalty": 0.8},
        "renormalize": {"renormalize_logits": True, "suppress_tokens": tokens},
        "penalty_renormalized": {"repetition_penalty": 1.3, "renormalize_logits": True},
        "forced_then_suppressed_elsewhere": {"suppress_tokens": tokens, "forced_eos_token_id": eos, "max_length": 8},
        "most": {
            "repetition_penalty": 1.2,
            "no_repeat_ngram_size": 2,
            "bad_words_ids": words[2:],
            "min_length": 6,
            "max_length": 15,
            "forced_eos_token_id": eos,
            "suppress_tokens": tokens[:1],
            "begin_suppress_tokens": [*first, eos],
            "renormalize_logits": True,
        },
        "summary": {"no_repeat_ngram_size": 3, "min_length": 10, "forced_eos_token_id": eos, "length_penalty": 2.0},
    }
    return rules[name]


NAMES = [
    "bad_words",
    "bad_pairs",
    "suppress",
    "begin_suppress",
    "min_length",
    "min_new_tokens",
    "max_length",
    "max_new_tokens",
    "forced_eos",
    "no_repeat_1",
    "no_repeat_2",
    "no_repeat_3",
    "penalty",
    "bonus",
    "renormalize",
    "penalty_renormalized",
    "forced_then_suppressed_elsewhere",
    "most",
    "summary",
]
