"""Tokens that all beams share are sent at once and never revised; slots are copied as little as possible."""

from dataclasses import replace

import pytest

from model.checkpoint.config import GenerationConfig
from model.checkpoint.generation_config import EarlyStopping
from model.search.beam_search import BeamSearch, Continuation, Copy
from model.search.goal import Goal
from model.search.results import Progress
from tests.support.pairs import make_spec

EOS = 2


def search_of(
    *, beam_size: int = 2, early_stopping: EarlyStopping = False, length_penalty: float = 1.0, max_new_tokens: int = 20
) -> BeamSearch:
    spec = make_spec(
        [EOS],
        [EOS],
        max_new_tokens,
        beam_size=beam_size,
        num_hypotheses=beam_size,
        length_penalty=length_penalty,
        early_stopping=early_stopping,
    )
    return BeamSearch(0, Goal(spec, GenerationConfig(100), eos_token_id=EOS), range(beam_size))


def step(search: BeamSearch, *continuations: tuple[float, int, int]) -> tuple[list[int], Progress, list[Copy]]:
    """Continuations as (score, beam, token id); enough of very bad ones follow."""
    fill = [(-1000.0 - index, 0, 90 + index) for index in range(2 * len(search.beams) - len(continuations))]
    full = [Continuation(score, beam, token, -1.0) for score, beam, token in (*continuations, *fill)]
    progress, copies = search.advance(full, None)
    return [token.token_id for token in progress.tokens], progress, copies


def test_token_is_certain_once_all_beams_come_out_of_it() -> None:
    search = search_of()
    assert step(search, (-1.0, 0, 10), (-2.0, 0, 11))[0] == []
    assert step(search, (-2.0, 0, 20), (-3.0, 1, 21))[0] == []
    assert step(search, (-3.0, 0, 30), (-4.0, 0, 31))[0] == [10, 20]
    assert step(search, (-4.0, 1, 40), (-5.0, 1, 41))[0] == [31]


def test_finished_hypothesis_that_may_win_holds_back_what_it_does_not_say() -> None:
    search = search_of()
    assert step(search, (-1.0, 0, 10), (-1.1, 0, EOS))[0] == []
    # the beams agree on 10, but the end at once, at a score of -1.1, may still be the best
    assert step(search, (-2.0, 0, 20), (-3.0, 0, 21))[0] == []


def test_finished_hypothesis_that_was_overtaken_holds_nothing_back() -> None:
    search = search_of()
    step(search, (-1.0, 0, 10), (-5.0, 0, EOS))
    assert step(search, (-1.2, 0, EOS), (-1.3, 0, 21))[0] == [10]
    assert [finished.target.token_ids for finished in search.finished] == [[10, EOS], [EOS]]


def test_best_hypothesis_is_sent_whole_once_no_beam_can_rise_above_it() -> None:
    search = search_of(length_penalty=0.0, early_stopping="never")
    step(search, (-1.0, 0, 10), (-2.0, 0, 11))
    tokens, progress, _ = step(search, (-1.5, 0, EOS), (-3.0, 0, 20), (-4.0, 0, 21))
    assert tokens == [10, EOS]
    assert progress.hypotheses == ()  # the second best is still sought
    tokens, progress, _ = step(search, (-4.0, 0, EOS), (-6.0, 1, 30), (-7.0, 1, 31))
    assert tokens == []
    assert [hypothesis.score for hypothesis in progress.hypotheses] == [-1.5, -4.0]


def test_ends_beyond_the_beam_size_do_not_count() -> None:
    search = search_of()
    step(search, (-1.0, 0, 10), (-2.0, 0, 11), (-3.0, 0, EOS))
    assert search.finished == []


@pytest.mark.parametrize(("early_stopping", "is_over"), [(True, True), (False, False), ("never", False)])
def test_early_stopping_decides_when_as_many_as_beams_have_finished(
    early_stopping: EarlyStopping, is_over: bool
) -> None:
    search = search_of(early_stopping=early_stopping)
    step(search, (-1.0, 0, 10), (-5.0, 0, EOS))
    _, progress, _ = step(search, (-1.1, 0, 20), (-4.0, 0, EOS), (-4.5, 0, 21))
    assert (progress.hypotheses != ()) is is_over


def test_looping_beam_is_a_finished_hypothesis_and_the_others_go_on() -> None:
    search = search_of(max_new_tokens=40)
    step(search, (-1.0, 0, 10), (-1.5, 0, 11))
    for length in range(2, 16):
        step(search, (-1.0, 0, 10), (-1.5, 1, 11 + length % 2 * length))
    assert search.finished == []
    step(search, (-1.0, 0, 10), (-1.5, 1, 60), (-2.0, 1, 61))
    assert [(finished.reason, finished.target.token_ids) for finished in search.finished] == [("repetition", [10] * 16)]
    assert [beam.target.token_ids[-1] for beam in search.beams] == [60, 61]


def test_first_child_keeps_its_parents_slot_and_others_take_unused_ones() -> None:
    search = search_of(beam_size=4)
    _, _, copies = step(search, *((-1.0 - index, 0, 10 + index) for index in range(4)))
    assert sorted(copies) == [Copy(1, 0), Copy(2, 0), Copy(3, 0)]
    before = {beam.target.token_ids[0]: beam.slot for beam in search.beams}
    _, _, copies = step(search, (-1.0, 1, 20), (-1.1, 3, 21), (-1.2, 1, 22), (-1.3, 1, 23))
    slots = {beam.target.token_ids[-1]: beam.slot for beam in search.beams}
    assert (slots[20], slots[21]) == (before[11], before[13])
    assert {copy.source for copy in copies} == {before[11]}
    assert {copy.target for copy in copies} == {slots[22], slots[23]} == {before[10], before[12]}


def test_beams_that_only_change_order_copy_nothing() -> None:
    search = search_of()
    step(search, (-1.0, 0, 10), (-2.0, 0, 11))
    assert step(search, (-1.0, 1, 20), (-2.0, 0, 21))[2] == []


def test_moved_beam_is_known_by_its_new_slot() -> None:
    search = search_of()
    search.move(1, 7)
    assert search.slots == [0, 7]
    _, _, copies = step(search, (-1.0, 0, 10), (-2.0, 0, 11))
    assert copies == [Copy(7, 0)]


def test_goal_ends_at_whichever_length_comes_first() -> None:
    spec = make_spec([EOS], [EOS, 5], 30)
    assert Goal(spec, GenerationConfig(20), eos_token_id=EOS).max_length == 20
    assert Goal(replace(spec, max_new_tokens=6), GenerationConfig(20), eos_token_id=EOS).max_length == 8
