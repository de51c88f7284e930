"""Beams of every family say what those of `transformers`' `generate` say, as `test_beam_parity.py` has it for two."""

from itertools import product

from model.decoding.generate import generate
from model.search.types import SearchRequest
from tests.support.pairs import Pair, assert_equal_outputs, prompts_of, random_sources, their_outputs

MAX_LENGTH = 22
SETTINGS = list(product((2, 4, 5), (0.6, 1.0, 2.0), (True, False, "never")))


def test_beams_of_a_family_equal_generate(family: Pair) -> None:
    sources = random_sources(family, 8, seed=5)
    (prompt,) = prompts_of(family, 1)
    best = set()
    for beam_size, length_penalty, early_stopping in SETTINGS:
        options = {"length_penalty": length_penalty, "early_stopping": early_stopping}
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
        requests = [make_request(index, tuple(prompt), beam_size, options) for index in range(len(sources))]
        for ours, outputs in zip(generate(family.ours, family.checkpoint, requests, sources), theirs, strict=True):
            assert_equal_outputs(ours, outputs, (beam_size, options))
            best.add(ours[0].token_ids)
    assert len(best) > len(sources)
    assert len({len(token_ids) for token_ids in best}) > 1


def make_request(index: int, prompt: tuple[int, ...], beam_size: int, options: dict[str, object]) -> SearchRequest:
    return SearchRequest(
        index,
        prompt,
        MAX_LENGTH - len(prompt),
        beam_size=beam_size,
        num_hypotheses=2,
        repetition_guard=False,
        **options,
    )
