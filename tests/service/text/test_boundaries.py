"""Sentences end where a reader ends them, and the work grows with the text."""

import pytest
import sentencex

from loadtests.bench.boundaries import joined, read_hard_cases
from service.text.boundaries import stretches
from service.text.segmentation import segment

CASES = [(language, sentences) for language, cases in read_hard_cases().items() for sentences in cases]


@pytest.mark.parametrize(("language", "sentences"), CASES, ids=[sentences[0] for _, sentences in CASES])
def test_a_hard_case_is_cut_as_a_reader_cuts_it(language: str, sentences: list[str]) -> None:
    assert list(segment(joined(sentences, language), language=language).sentences) == sentences


@pytest.mark.parametrize(
    ("language", "text"),
    [("de", "Er wurde 3. Das war gut."), ("de", "Es war am 3. Wir freuten uns."), ("xx", "Dr. Who? Me. Tom came.")],
)
def test_rules_strike_no_boundary_that_is_one(language: str, text: str) -> None:
    assert len(list(stretches(text, language))) > 1


@pytest.mark.parametrize("unit", ["word ", "A. ", "Dr. ", "der 2. ", "?!", "(a.) ", "A.-", "」", "x", "me. A", "…"])
@pytest.mark.parametrize("language", ["en", "de", "ja"])
def test_the_library_gets_a_text_at_most_twice(unit: str, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = unit * (10_000 // len(unit))
    seen: list[int] = []
    library_segment = sentencex.segment

    def counted(code: str, window: str) -> list[str]:
        seen.append(len(window))
        return library_segment(code, window)

    monkeypatch.setattr(sentencex, "segment", counted)
    assert "".join(stretches(text, language)) == text
    assert sum(seen) <= 2 * len(text)
    assert max(seen) <= 2_000
