"""On the same weights, beams equal those of `transformers`' `generate`: all hypotheses, in order, with scores.

Two hypotheses whose scores are closer than float32 rounding may change places, as may two candidates for a beam; these
sources and weights have none.
"""

from itertools import product

from transformers import M2M100Tokenizer

from model.checkpoint.generation_config import EarlyStopping
from model.decoding.generate import generate
from tests.support.encoded_sources import encode_sources
from tests.support.pairs import Output, Pair, assert_equal_outputs, make_spec, prompts_of, random_sources, their_outputs

MAX_LENGTH = 26
SOURCES_PER_CHECKPOINT = 7
BEAM_SIZES = (2, 4, 5)
LENGTH_PENALTIES = (0.0, 0.6, 1.0, 2.0, -0.7)
EARLY_STOPPINGS: tuple[EarlyStopping, ...] = (True, False, "never")
SETTINGS = [
    (beam_size, length_penalty, EARLY_STOPPINGS[(row + column) % len(EARLY_STOPPINGS)])
    for row, beam_size in enumerate(BEAM_SIZES)
    for column, length_penalty in enumerate(LENGTH_PENALTIES)
]
"""Every two values meet, in a third of the combinations."""


def test_beams_equal_generate_for_any_two_of_size_length_penalty_and_early_stopping(lively: Pair) -> None:
    sources = random_sources(lively, SOURCES_PER_CHECKPOINT, seed=3)
    (prompt,) = prompts_of(lively, 1)
    theirs: list[list[Output]] = []
    for beam_size, length_penalty, early_stopping in SETTINGS:
        theirs += their_outputs(
            lively,
            sources,
            prompt,
            num_beams=beam_size,
            num_return_sequences=beam_size,
            length_penalty=length_penalty,
            early_stopping=early_stopping,
            max_length=MAX_LENGTH,
        )
    specs = [
        make_spec(
            source,
            prompt,
            MAX_LENGTH - len(prompt),
            beam_size=beam_size,
            num_hypotheses=beam_size,
            length_penalty=length_penalty,
            early_stopping=early_stopping,
            repetition_guard=False,
        )
        for (beam_size, length_penalty, early_stopping), source in product(SETTINGS, sources)
    ]
    ours = generate(lively.ours, lively.checkpoint, specs, max_rows=100)
    for hypotheses, outputs, spec in zip(ours, theirs, specs, strict=True):
        assert_equal_outputs(hypotheses, outputs, spec)
    assert_varied(theirs)


def assert_varied(outputs: list[list[Output]]) -> None:
    """Agreement proves something only where outputs differ, and end early, late and at the limit."""
    assert len(outputs) == SOURCES_PER_CHECKPOINT * len(SETTINGS)
    best = [tuple(hypotheses[0].token_ids) for hypotheses in outputs]
    assert len(set(best)) > SOURCES_PER_CHECKPOINT
    assert len({token_id for target in best for token_id in target}) > 20
    assert len({len(target) for target in best}) > 5


def test_beams_equal_generate_on_the_bundled_checkpoint(bundled: Pair, bundled_tokenizer: M2M100Tokenizer) -> None:
    by_prompt: dict[tuple[int, ...], list[list[int]]] = {}
    for source, token_ids in zip(*encode_sources(bundled_tokenizer), strict=True):
        by_prompt.setdefault(tuple(token_ids), []).append(source)
    for prompt, all_sources in by_prompt.items():
        sources = all_sources[:6]
        for beam_size, early_stopping in ((4, True), (5, False), (2, "never")):
            theirs = their_outputs(
                bundled,
                sources,
                list(prompt),
                num_beams=beam_size,
                num_return_sequences=beam_size,
                early_stopping=early_stopping,
                max_length=40,
            )
            specs = [
                make_spec(
                    source,
                    prompt,
                    38,
                    beam_size=beam_size,
                    num_hypotheses=beam_size,
                    early_stopping=early_stopping,
                    repetition_guard=False,
                )
                for source in sources
            ]
            ours = generate(bundled.ours, bundled.checkpoint, specs)
            for hypotheses, outputs in zip(ours, theirs, strict=True):
                assert_equal_outputs(hypotheses, outputs, (prompt, beam_size))


def test_prompt_that_is_not_counted_equals_generate_with_decoder_input_ids(lively: Pair) -> None:
    sources = random_sources(lively, 12, seed=4)
    (start,) = prompts_of(lively, 1)
    prompt = [*start, 17, 23, 17]
    theirs = their_outputs(
        lively, sources, prompt, num_beams=4, num_return_sequences=3, early_stopping=False, max_length=MAX_LENGTH
    )
    specs = [
        make_spec(
            source,
            prompt,
            MAX_LENGTH - len(prompt),
            beam_size=4,
            num_hypotheses=3,
            early_stopping=False,
            repetition_guard=False,
            num_uncounted_tokens=len(prompt),
        )
        for source in sources
    ]
    for ours, outputs in zip(generate(lively.ours, lively.checkpoint, specs), theirs, strict=True):
        assert_equal_outputs(ours, outputs, prompt)
