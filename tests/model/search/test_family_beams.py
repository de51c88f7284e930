"""Beams of every family equal those of `transformers`' `generate`, as in `test_beam_parity.py` for two of them."""

from typing import Any

from model.decoding.generate import generate
from tests.support.pairs import Pair, assert_equal_outputs, make_spec, prompts_of, random_sources, their_outputs

MAX_LENGTH = 22
BEAM_SIZES, LENGTH_PENALTIES, EARLY_STOPPINGS = (2, 4, 5), (0.6, 1.0, 2.0), (True, False, "never")
SETTINGS = [
    (beam_size, length_penalty, EARLY_STOPPINGS[row - column])
    for row, beam_size in enumerate(BEAM_SIZES)
    for column, length_penalty in enumerate(LENGTH_PENALTIES)
]
"""Every two values meet, in a third of the combinations."""


def test_beams_of_a_family_equal_generate(family: Pair) -> None:
    sources = random_sources(family, 8, seed=5)
    (prompt,) = prompts_of(family, 1)
    best = set()
    for beam_size, length_penalty, early_stopping in SETTINGS:
        options: dict[str, Any] = {"length_penalty": length_penalty, "early_stopping": early_stopping}
        theirs = their_outputs(
            family,
            sources,
            prompt,
            num_beams=beam_size,
            num_return_sequences=2,
            max_length=MAX_LENGTH,
            use_cache="t5" not in family.checkpoint.config.model_type,  # its cache has a layer for each of the encoder
            **options,
        )
        common = {"beam_size": beam_size, "num_hypotheses": 2, "repetition_guard": False} | options
        specs = [make_spec(source, prompt, MAX_LENGTH - len(prompt), **common) for source in sources]
        for ours, outputs in zip(generate(family.ours, family.checkpoint, specs), theirs, strict=True):
            assert_equal_outputs(ours, outputs, (beam_size, options))
            best.add(ours[0].token_ids)
    assert len(best) > len(sources)
    assert len({len(token_ids) for token_ids in best}) > 1
