"""Laws of the work that is expected of a request before it is tokenized."""

from dataclasses import replace

from service.translation.expected_work import ExpectedWork
from service.translation.request import TranslationRequest

REQUEST = TranslationRequest(("x" * 1_000,), "en", ("de",))


def test_nothing_is_expected_before_anything_was_learned():
    assert ExpectedWork().of(REQUEST) is None


def test_work_grows_with_characters_targets_and_rows():
    expected = ExpectedWork()
    expected.learn(REQUEST, 250)
    assert expected.of(REQUEST) == 250
    assert expected.of(replace(REQUEST, texts=("x" * 500, "y" * 100))) == 150
    assert expected.of(replace(REQUEST, target_langs=("de", "fr"), beam_size=2)) == 1_000


def test_a_change_of_language_is_learned():
    expected = ExpectedWork()
    expected.learn(REQUEST, 250)
    for _ in range(100):
        expected.learn(REQUEST, 1_000)
    assert expected.of(REQUEST) in range(950, 1_001)


def test_requests_without_characters_teach_nothing():
    expected = ExpectedWork()
    expected.learn(replace(REQUEST, texts=("",)), 0)
    assert expected.of(REQUEST) is None
