"""All engines do the same work: the same tokens in float32, and as many as they are told to."""

from dataclasses import replace

import pytest

from tests.loadtests.conftest import NUM_SENTENCES, Stage


def test_a_converted_checkpoint_says_the_same_tokens_as_ours(stage: Stage) -> None:
    ours = stage.ours.translate(stage.work)
    # CTranslate2 does not know the end token that a checkpoint may force into the last place.
    free = slice(stage.work.max_new_tokens - 1)
    assert [target[free] for target in stage.ctranslate2.translate(stage.work)] == [target[free] for target in ours]
    assert len({len(target) for target in ours}) > 3, "targets of one length would hide an end that is not looked for"


def test_transformers_says_the_same_tokens_as_ours(stage: Stage) -> None:
    for work in (stage.work, replace(stage.work, beam_size=4)):
        assert stage.transformers.translate(work) == stage.ours.translate(work)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_fixed_length_is_that_of_every_target_on_every_side(stage: Stage, beam_size: int) -> None:
    work = replace(stage.work, beam_size=beam_size, max_new_tokens=12, fixed_length=True)
    for backend in (stage.ours, stage.ctranslate2, stage.transformers):
        lengths = [len(target) for target in backend.translate(work)]
        assert lengths == [12] * NUM_SENTENCES, type(backend).__name__


def test_greedy_targets_of_a_fixed_length_are_the_same_on_every_side(stage: Stage) -> None:
    work = replace(stage.work, max_new_tokens=12, fixed_length=True)
    ours = stage.ours.translate(work)
    assert stage.ctranslate2.translate(work) == ours
    assert stage.transformers.translate(work) == ours
